// Loads the pixels of third parties for a conversion that was just reported.
(function (all) {
  all.forEach(function (pixel) {
    var element = document.createElement(pixel.kind);
    element.referrerPolicy = 'no-referrer';
    if (pixel.kind === 'script') element.async = true;
    else { element.width = 1; element.height = 1; element.style.display = 'none'; }
    element.src = pixel.url;
    (document.body || document.documentElement).appendChild(element);
  });
})