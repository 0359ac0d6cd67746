// <script src="https://TRACKER/t.js" data-campaign="NAME" async></script>
// Announces a click to the tracker that served this script. The id is then in window.clicklog.click_id, in the event
// "clicklog", and in every link of the page that has {click_id} or {clickid} in it.
(function () {
  var me = document.currentScript;
  if (!me || !me.dataset.campaign) return;
  var url = new URL('/track', me.src);
  new URLSearchParams(location.search).forEach(function (value, name) { url.searchParams.append(name, value); });
  url.searchParams.set('campaign', me.dataset.campaign);
  if (document.referrer) url.searchParams.set('page_referrer', document.referrer);
  fetch(url, { credentials: 'include', cache: 'no-store' }).then(function (answer) { return answer.json(); }).then(function (click) {
    window.clicklog = click;
    document.querySelectorAll('a[href]').forEach(function (link) {
      var href = link.getAttribute('href');
      var filled = href.replace(/\{click_?id\}|%7Bclick_?id%7D/gi, click.click_id);
      if (filled !== href) link.setAttribute('href', filled);
    });
    document.dispatchEvent(new CustomEvent('clicklog', { detail: click }));
  }).catch(function () {});
})();
