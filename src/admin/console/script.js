// Copies what stands beside a button, and loads a page anew for whoever wants that. Without it everything else works.
"use strict";
(() => {
  const note = document.getElementById("note");

  const copy = async (text) => {
    if (navigator.clipboard && window.isSecureContext) {
      await navigator.clipboard.writeText(text);
      return;
    }
    // Plain http away from this machine has no clipboard of its own.
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "away";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) throw new Error("not copied");
  };

  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      const label = button.textContent;
      try {
        await copy(source.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(source);
        button.textContent = "Selected";
      }
      if (note) note.textContent = button.textContent;
      setTimeout(() => { button.textContent = label; }, 1500);
    });
  }

  const refresh = document.getElementById("refresh");
  if (refresh) {
    const wanted = "clicklog-refresh";
    const seconds = Number(refresh.dataset.seconds);
    refresh.closest("[hidden]")?.removeAttribute("hidden");
    refresh.checked = sessionStorage.getItem(wanted) === "1";
    let timer;
    const set = () => {
      clearTimeout(timer);
      sessionStorage.setItem(wanted, refresh.checked ? "1" : "0");
      if (refresh.checked) {
        timer = setTimeout(() => {
          if (document.hidden) set(); else location.reload();
        }, seconds * 1000);
      }
    };
    refresh.addEventListener("change", set);
    set();
  }
})();
