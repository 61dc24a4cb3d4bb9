// The log of an operation: it is filtered as one types, follows unless it is scrolled up, and its times are the clock's
// or those since its begin. Without this script the same form asks the server.
(() => {
  "use strict";

  const form = document.querySelector("[data-log-filter]");
  const log = form && document.getElementById(form.dataset.logFilter);
  if (!log) return;
  const counter = document.querySelector("[data-log-count]");
  const follow = document.querySelector("[data-log-follow]");
  const value = (name) => form.elements[name].value;

  // --- what is shown: the same rules and words as the server's ---

  function keeps(line) {
    const level = value("level");
    return (level === "" || line.classList.contains(level) || (level === "warn" && line.classList.contains("error"))) &&
      (value("step") === "" || line.dataset.step === value("step")) &&
      line.lastElementChild.textContent.toLowerCase().includes(value("log").trim().toLowerCase());
  }

  const two = (n) => String(n).padStart(2, "0");

  function elapsed(seconds) {
    const s = Math.max(0, Math.floor(seconds));
    const [h, m] = [Math.floor(s / 3600), Math.floor(s / 60) % 60];
    return h ? `+${h}:${two(m)}:${two(s % 60)}` : `+${two(m)}:${two(s % 60)}`;
  }

  function show(line) {
    line.hidden = !keeps(line);
    const time = line.querySelector("time");
    const first = log.querySelector("time");
    time.textContent = value("times") === "elapsed" ? elapsed((Date.parse(time.dateTime) - Date.parse(first.dateTime)) / 1000) : time.dateTime.slice(11, 19);
  }

  function count() {
    const all = log.children.length;
    const shown = log.querySelectorAll(":scope > :not([hidden])").length;
    const words = all === 1 ? "1 line" : `${all} lines`;
    counter.textContent = shown === all ? words : `${shown} of ${words}`;
  }

  function offer(step) {
    const list = form.elements.step;
    if (!step || [...list.options].some((o) => o.value === step)) return;
    list.add(new Option(step[0].toUpperCase() + step.slice(1), step));
  }

  function apply() {
    const end = atEnd();
    for (const line of log.children) show(line);
    log.classList.toggle("nowrap", value("wrap") === "no");
    count();
    if (end) toEnd();
    scrolled();
  }

  // --- following ---

  let unread = 0;
  const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 24;
  const toEnd = () => (log.scrollTop = log.scrollHeight);

  function scrolled() {
    if (atEnd()) unread = 0;
    follow.hidden = atEnd();
    follow.textContent = unread === 0 ? "To the end" : unread === 1 ? "1 new line" : `${unread} new lines`;
  }
  log.addEventListener("scroll", scrolled);
  follow.addEventListener("click", () => {
    toEnd();
    log.focus();
  });

  new MutationObserver((changes) => {
    for (const change of changes) {
      for (const line of change.addedNodes) {
        if (line.nodeType !== 1) continue;
        offer(line.dataset.step);
        show(line);
        if (!line.hidden) unread++;
      }
    }
    count();
    scrolled();
  }).observe(log, { childList: true });

  // --- the form; how lines are shown is kept for the next log ---

  const kept = ["times", "wrap"];

  function keep() {
    try {
      for (const name of kept) localStorage.setItem(`log-${name}`, value(name));
    } catch {
      // a browser that keeps nothing forgets it
    }
  }

  function changed() {
    const q = new URLSearchParams();
    for (const [name, v] of new FormData(form)) if (v.trim() !== "") q.set(name, v.trim());
    history.replaceState(history.state, "", new URL(form.action).pathname + (q.size ? `?${q}` : ""));
    keep();
    apply();
  }
  form.addEventListener("input", changed);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    changed();
  });

  const asked = new URLSearchParams(location.search);
  try {
    for (const name of kept) {
      const was = localStorage.getItem(`log-${name}`);
      if (was !== null && !asked.has(name)) form.elements[name].value = was;
    }
  } catch {
    // as above
  }
  apply();
  toEnd();
})();
