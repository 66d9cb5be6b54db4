// Keeps the page fresh: an event says that something has changed, and the part that shows it is fetched
// again. Without this script the page reloads by itself (see the noscript element).
"use strict";
(() => {
  const main = document.getElementById("main");
  const live = document.getElementById("live");
  const base = new URL(".", document.currentScript.src);
  const pause = 250; // ms between two fetches at least
  const older = 10000; // ms after which ages are counted anew
  let busy = false;
  let again = false;
  let timer = 0;

  function say(text) {
    if (live.textContent !== text) live.textContent = text;
  }

  async function refresh() {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    again = false;
    clearTimeout(timer);
    try {
      const part = new URL(location.href);
      part.search = "?part=main";
      part.hash = "";
      const response = await fetch(part, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (response.status === 404) say("○ gone from the tree");
      else if (!response.ok) say("○ cannot be shown: " + response.status);
      else {
        swap(await response.text());
        say("● live");
      }
    } catch {
      say("○ the daemon does not answer, what you see is old");
    }
    setTimeout(() => {
      busy = false;
      if (again) refresh();
    }, pause);
    timer = setTimeout(refresh, older);
  }

  // swap keeps the focus, a selection in progress and where things are scrolled to.
  function swap(html) {
    const selection = getSelection();
    if (selection && !selection.isCollapsed && main.contains(selection.anchorNode)) return;
    const focused = main.contains(document.activeElement) ? document.activeElement : null;
    const row = focused && focused.closest("[id]");
    const boxes = () => [...main.querySelectorAll("pre, .scroll")];
    const scrolled = boxes().map((e) => [e.scrollLeft, e.scrollTop]);
    const fresh = new DOMParser().parseFromString(html, "text/html");
    main.replaceChildren(...fresh.body.childNodes);
    boxes().forEach((e, i) => {
      if (scrolled[i]) [e.scrollLeft, e.scrollTop] = scrolled[i];
    });
    if (!focused) return;
    const where = row && row !== main ? document.getElementById(row.id) : main;
    const same = where && [...where.querySelectorAll(focused.tagName)].find((e) => e.getAttribute("href") === focused.getAttribute("href"));
    if (same) same.focus({ preventScroll: true });
  }

  say("○ connecting");
  timer = setTimeout(refresh, older);
  if (window.EventSource) {
    const events = new EventSource(new URL("events", base));
    events.onmessage = refresh;
    events.onerror = () => say("○ reconnecting");
  }
})();
