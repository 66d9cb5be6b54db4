// Keeps the page fresh: an event says what has changed, and what shows it is fetched again and worked into the page.
// Without this script the page reloads by itself (see the noscript element), and its forms and links do the same.
"use strict";
(() => {
  const main = document.getElementById("main");
  const live = document.getElementById("live");
  const pauseButton = document.getElementById("pause");
  const toast = document.getElementById("toast");
  const base = new URL(".", document.currentScript.src);
  const page = document.body.dataset.page;
  const gap = 250; // ms between two fetches at least
  const older = 5000; // ms after which memory and load are looked at anew
  const patience = 20000; // ms for an answer: what never comes must not be the last that was asked for
  let paused = false;
  let busy = false;
  let again = false;
  let timer = 0;
  let events = null;

  function say(text, tone) {
    if (live.textContent === text) return;
    live.textContent = text;
    live.className = "live " + tone;
  }

  // ---- what has changed

  function concerns(change) {
    if (change.all || page !== "session") return true;
    const name = decodeURIComponent(location.pathname.split("/").pop());
    return change.paths.some((path) => path.endsWith("/" + name));
  }

  function connect() {
    if (!window.EventSource || events || paused || document.hidden) return;
    events = new EventSource(new URL("events", base));
    events.onmessage = (e) => {
      if (concerns(JSON.parse(e.data))) refresh();
    };
    events.onerror = () => say("reconnecting", "warn");
    events.onopen = () => say("live", "good");
  }

  function disconnect() {
    if (events) events.close();
    events = null;
    clearTimeout(timer);
  }

  async function refresh() {
    if (paused || document.hidden) return;
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    again = false;
    clearTimeout(timer);
    const asked = location.href;
    try {
      const part = new URL(asked);
      part.searchParams.set("part", "main");
      part.hash = "";
      const response = await fetch(part, { headers: { Accept: "text/html" }, cache: "no-store", signal: AbortSignal.timeout(patience) });
      const page = (response.headers.get("Content-Type") || "").startsWith("text/html"); // with what is wrong in it, maybe
      if (response.status === 404) say("gone from the tree", "bad");
      else if (!page) say("cannot be shown: " + response.status, "bad");
      else {
        const html = await response.text();
        if (asked === location.href && !paused) {
          show(html);
          if (!events || events.readyState === 1) say("live", "good");
        }
      }
    } catch {
      say("the daemon does not answer: what you see is old", "bad");
    }
    setTimeout(() => {
      busy = false;
      if (again) refresh();
    }, gap);
    timer = setTimeout(refresh, older);
  }

  // ---- working it in: elements stay where they are, with focus, selection, scroll position and what is open

  function show(html) {
    const fresh = new DOMParser().parseFromString(html, "text/html").body;
    children(main, fresh);
    const count = Number(main.querySelector("[data-count]")?.dataset.count);
    if (page === "tree") document.title = (count ? "(" + count + ") " : "") + "Understudy";
  }

  // Rows of what needs somebody keep their places: who is about to press a button must not press that of another row. What does
  // not wait any more leaves its place free, for the next that comes.
  function places(old, fresh) {
    const wanted = new Map([...fresh.children].map((row) => [row.id, row]));
    for (const row of [...old.children]) {
      const want = wanted.get(row.id);
      wanted.delete(row.id);
      if (want) merge(row, want);
      else if (!row.inert) leave(row);
    }
    for (const want of wanted.values()) {
      const free = [...old.children].find((row) => row.inert);
      if (free) free.replaceWith(want);
      else old.append(want);
    }
    while (old.lastElementChild?.inert) old.lastElementChild.remove();
  }

  function leave(row) {
    const panel = row.closest(".panel");
    if (row.contains(document.activeElement)) panel.focus({ preventScroll: true });
    row.inert = true;
    row.classList.add("over");
    row.querySelector(".foot").textContent = panel.id === "needs" ? "This does not wait any more." : "This is over.";
  }

  const labelOf = (node) => (node.nodeName === "SECTION" && (node.getAttribute("aria-labelledby") || node.getAttribute("aria-label"))) || "";
  const alike = (a, b) => a.nodeName === b.nodeName && keyOf(a) === keyOf(b) && labelOf(a) === labelOf(b);
  const keyOf = (node) => (node.nodeType === 1 && node.id ? node.id : "");

  function children(old, fresh) {
    const byID = new Map();
    for (const child of old.childNodes) if (keyOf(child)) byID.set(keyOf(child), child);
    let at = old.firstChild;
    for (const want of [...fresh.childNodes]) {
      const key = keyOf(want);
      let have = key ? byID.get(key) : at;
      if (!key && want.nodeType === 1) {
        // What is not there any more stands before it. If one is taken for another, what somebody writes into is taken away.
        while (have && !alike(have, want)) have = have.nextSibling;
        while (have && at !== have) {
          const next = at.nextSibling;
          if (!keyOf(at)) at.remove();
          at = next;
        }
      }
      if (have && !alike(have, want)) have = null;
      if (!have) {
        old.insertBefore(want, at);
        continue;
      }
      byID.delete(key);
      if (have === at) at = at.nextSibling;
      else old.insertBefore(have, at);
      merge(have, want);
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  }

  function merge(old, fresh) {
    if (old.nodeType !== 1) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    // What somebody is writing as an answer is theirs.
    if (old.nodeName === "INPUT" && old !== document.activeElement && old.form && "filter" in old.form.dataset) old.value = fresh.getAttribute("value") || "";
    if (old.nodeName === "UL" && old.parentElement.id) places(old, fresh);
    else children(old, fresh);
  }

  // ---- ages go on between two fetches

  function age(ms) {
    const s = Math.max(0, Math.floor(ms / 1000));
    const two = (n) => String(n).padStart(2, "0");
    if (s < 60) return s + "s";
    if (s < 3600) return Math.floor(s / 60) + "m" + two(s % 60) + "s";
    if (s < 86400) return Math.floor(s / 3600) + "h" + two(Math.floor(s / 60) % 60) + "m";
    return Math.floor(s / 86400) + "d" + two(Math.floor(s / 3600) % 24) + "h";
  }

  setInterval(() => {
    if (paused || document.hidden) return;
    const now = Date.now();
    for (const e of main.querySelectorAll("time[data-since], time[data-until]")) {
      const text = age(e.dataset.since ? now - e.dataset.since : e.dataset.until - now + 999) + (e.dataset.tail || "");
      if (e.firstChild && e.firstChild.nodeValue !== text) e.firstChild.nodeValue = text;
    }
  }, 1000);

  // ---- acting

  function tell(text, tone) {
    toast.textContent = text;
    toast.className = tone + " shown";
    clearTimeout(tell.timer);
    tell.timer = setTimeout(() => (toast.className = tone), tone === "bad" ? 12000 : 4000);
  }

  function askToken() {
    const dialog = document.getElementById("token");
    return new Promise((resolve) => {
      dialog.addEventListener("close", () => {
        const input = dialog.querySelector("input");
        const token = dialog.returnValue === "ok" ? input.value : "";
        input.value = "";
        if (token) sessionStorage.setItem("understudy-token", token);
        resolve(token);
      }, { once: true });
      dialog.returnValue = "";
      dialog.showModal();
    });
  }

  async function act(form, button) {
    const send = () => {
      const headers = { Accept: "application/json" };
      const token = sessionStorage.getItem("understudy-token");
      if (token) headers.Authorization = "Bearer " + token;
      const body = new URLSearchParams(new FormData(form, button));
      return fetch(form.action, { method: "POST", headers, body });
    };
    if (button) button.setAttribute("aria-busy", "true");
    try {
      let response = await send();
      if (response.status === 401) {
        sessionStorage.removeItem("understudy-token");
        if (!(await askToken())) return;
        response = await send();
      }
      if (response.ok) {
        const open = form.closest("[popover]");
        if (open && open.matches(":popover-open")) open.hidePopover();
        tell(form.dataset.act, "good");
        if (form.dataset.then) location.href = new URL(form.dataset.then, location.href);
      } else {
        const problem = await response.json().catch(() => ({}));
        tell(problem.detail || "not done: " + response.status, "bad");
      }
    } catch {
      tell("not done: the daemon does not answer", "bad");
    } finally {
      if (button) button.removeAttribute("aria-busy");
      refresh();
    }
  }

  document.addEventListener("submit", (e) => {
    const form = e.target;
    if (form.dataset.act) {
      e.preventDefault();
      act(form, e.submitter);
    } else if ("filter" in form.dataset) {
      e.preventDefault();
      filter(form);
    }
  });

  // ---- filtering

  function go(address) {
    history.replaceState(null, "", address);
    again = true;
    refresh();
  }

  function filter(form) {
    const address = new URL(form.getAttribute("action") || location.pathname, location.href);
    address.search = "";
    for (const [name, value] of new FormData(form)) if (value) address.searchParams.set(name, value);
    go(address);
  }

  // A text is looked for while it is written, anything else when it is whole.
  let typing = 0;
  const filterOn = (kind, search, delay) => document.addEventListener(kind, (e) => {
    const form = e.target.form;
    if (!form || !("filter" in form.dataset) || (e.target.type === "search") !== search) return;
    clearTimeout(typing);
    typing = setTimeout(() => filter(form), delay);
  });
  filterOn("input", true, 150);
  filterOn("change", false, 0);

  // ---- keys

  function pause() {
    paused = !paused;
    pauseButton.setAttribute("aria-pressed", String(paused));
    pauseButton.firstChild.nodeValue = paused ? "Go on " : "Pause ";
    if (paused) {
      disconnect();
      say("paused", "warn");
    } else {
      say("connecting", "calm");
      connect();
      refresh();
    }
  }

  function step(by) {
    const rows = [...main.querySelectorAll("tr[data-row] th a")];
    if (!rows.length) return;
    const at = rows.indexOf(document.activeElement);
    const next = rows[Math.min(Math.max(at + by, 0), rows.length - 1)];
    next.focus({ preventScroll: true });
    next.closest("tr").scrollIntoView({ block: "nearest" });
  }

  const keys = {
    j: () => step(1),
    k: () => step(-1),
    p: pause,
    z: () => main.querySelector("#faults")?.click(),
    n: () => (main.querySelector("#needs button, #needs a") || main.querySelector("#needs"))?.focus(),
    t: () => (location.href = base),
    u: () => (location.href = new URL("audit", base)),
    b: () => (location.href = new URL("budgets", base)),
    "?": () => document.getElementById("keys").togglePopover(),
    "/": (e) => {
      const field = main.querySelector("#q");
      if (!field) return;
      e.preventDefault();
      field.focus();
      field.select();
    },
  };

  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.isComposing) return;
    if (e.target.closest("input, textarea, select, dialog")) {
      if (e.key === "Escape") e.target.blur();
      return;
    }
    if (keys[e.key]) keys[e.key](e);
  });

  main.addEventListener("click", (e) => {
    const link = e.target.closest("#faults, .chips a, .pages a, thead a, .found a, .nothing a, a.super");
    if (!link || e.ctrlKey || e.metaKey || e.shiftKey || e.button !== 0) return;
    const address = new URL(link.href);
    if (address.pathname !== location.pathname) return;
    e.preventDefault(); // the same page, another part of it
    go(address);
  });

  pauseButton.hidden = false;
  document.getElementById("help").hidden = false;
  pauseButton.addEventListener("click", pause);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) disconnect(); // nobody looks
    else {
      connect();
      refresh();
    }
  });
  document.documentElement.classList.add("scripted");
  say("connecting", "calm");
  connect();
  timer = setTimeout(refresh, older);
})();
