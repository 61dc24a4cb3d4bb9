// What the pages do beyond plain HTML: they renew what changed, count what is chosen, keep times right and copy.
// Without it everything works; it only has to be reloaded.
(() => {
  "use strict";

  // --- live: the stream of the page. htmx-ext-sse connects and reconnects; these are the events it gets. ---

  // Forms that somebody is filling in, and what says it keeps its own state, are left as they are.
  const kept = (node) =>
    node.nodeType === 1 && (node.hasAttribute("data-keep") || (node.tagName === "FORM" && node.hasAttribute("data-dirty")));

  const callbacks = {
    beforeNodeMorphed: (old) => !kept(old),
    beforeAttributeUpdated: (name, node) => !(name === "open" && node.tagName === "DETAILS"),
  };

  function patch(event) {
    const holder = document.createElement("template");
    holder.innerHTML = event.data;
    const fresh = holder.content.firstElementChild;
    const old = fresh && document.getElementById(fresh.id);
    if (!old) return;
    Idiomorph.morph(old, fresh, { morphStyle: "outerHTML", ignoreActiveValue: true, callbacks });
    const now = document.getElementById(fresh.id);
    if (now) {
      htmx.process(now);
      ready(now);
      now.dispatchEvent(new CustomEvent("renewed", { bubbles: true }));
    }
  }

  function line(event) {
    const holder = document.createElement("template");
    holder.innerHTML = event.data;
    const fresh = holder.content.firstElementChild;
    const log = fresh && document.getElementById(fresh.dataset.of);
    if (!log || document.getElementById(fresh.id)) return;
    const follows = log.scrollHeight - log.scrollTop - log.clientHeight < 24;
    log.append(fresh);
    if (follows) log.scrollTop = log.scrollHeight;
  }

  const sources = new Set();

  htmx.createEventSource = (url) => {
    const source = new EventSource(url);
    source.addEventListener("patch", patch);
    source.addEventListener("log", line);
    source.addEventListener("reload", () => {
      source.close();
      location.reload();
    });
    sources.add(source);
    return source;
  };

  const reconnecting = (yes) => {
    const box = document.getElementById("reconnecting");
    if (box) box.hidden = !yes;
  };

  let shown; // a short interruption is not worth a word
  document.addEventListener("htmx:sseError", () => {
    clearTimeout(shown);
    if (!document.hidden) shown = setTimeout(() => reconnecting(true), 1000);
  });
  document.addEventListener("htmx:sseOpen", () => {
    clearTimeout(shown);
    reconnecting(false);
  });
  document.addEventListener("htmx:sseClose", (event) => sources.delete(event.detail.source));

  // A browser has few connections for one address: a page that nobody looks at gives its own back after a while.
  let asleep;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(asleep);
    if (document.hidden) {
      asleep = setTimeout(() => sources.forEach((source) => source.close()), 20000);
      return;
    }
    for (const source of sources) {
      if (source.readyState !== EventSource.CLOSED) continue;
      sources.delete(source);
      source.dispatchEvent(new Event("error")); // the extension connects again
    }
  });

  // What is typed into a form that asks by itself was asked for while it was typed. The change that a field tells of when a
  // click elsewhere leaves it would ask again, and swap the very thing that is being clicked: the click would be lost.
  document.addEventListener("change", (event) => {
    if (event.target.matches("form[hx-get] :is(input[type=search], input[type=text], input:not([type]), textarea)")) event.stopPropagation();
  }, true);

  // --- times: the same words as the server's ---

  const ago = (s) =>
    s < 5 ? "just now" : s < 60 ? `${Math.floor(s)} s ago` : s < 3600 ? `${Math.floor(s / 60)} min ago`
      : s < 172800 ? `${Math.floor(s / 3600)} h ago` : `${Math.floor(s / 86400)} d ago`;
  const span = (s) => {
    s = Math.floor(Math.max(0, s));
    return s < 1 ? "< 1 s" : s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  };

  // Times are measured by the server's clock, as it was when it made the page: this machine's may be wrong.
  const ahead = Date.parse(document.querySelector("meta[name=now]")?.content) - Date.now() || 0;

  function tick() {
    if (document.hidden) return;
    for (const el of document.querySelectorAll("time[data-ago], time[data-since]")) {
      const seconds = Math.max(0, (Date.now() + ahead - Date.parse(el.dateTime)) / 1000);
      const text = el.hasAttribute("data-ago") ? ago(seconds) : span(seconds);
      if (el.textContent !== text) el.textContent = text;
    }
  }
  setInterval(tick, 1000);

  // --- forms ---

  document.addEventListener("input", (event) => {
    const form = event.target.closest("form[method=post]");
    if (form) form.dataset.dirty = "";
  });

  // A form that was sent is not sent again while it is under way.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post" || event.defaultPrevented) return;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    if (/config$/.test(form.action)) return; // a download leaves the page as it is
    form.dataset.sent = "1";
    const button = event.submitter;
    if (button) {
      button.setAttribute("aria-disabled", "true");
      if (button.dataset.busy) button.textContent = button.dataset.busy;
    }
  });
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload(); // back from elsewhere: what is shown may be old, forms may be marked as sent
  });

  // Filters: what is empty is not in the address.
  document.addEventListener("htmx:configRequest", (event) => {
    const values = event.detail.parameters;
    for (const name of Object.keys(values)) if (values[name] === "") delete values[name];
  });

  // --- choosing rows: how many; with shift, all between ---

  let last;
  const boxesOf = (form) => [...form.elements].filter((box) => box.name === "server" && box.type === "checkbox");
  function counted(form) {
    const all = form.elements.all;
    const n = all?.checked ? Number(all.dataset.total) : boxesOf(form).filter((box) => box.checked).length;
    form.querySelector("[data-count]").textContent = n === 0 ? "Choose servers to" : n === 1 ? "1 server chosen:" : `${n} servers chosen:`;
    for (const button of form.querySelectorAll(".chosen button")) button.disabled = n === 0;
  }
  document.addEventListener("click", (event) => {
    const box = event.target;
    if (!(box instanceof HTMLInputElement) || box.name !== "server" || !box.form || !box.form.hasAttribute("data-bulk")) return;
    if (event.shiftKey && last && last.form === box.form) {
      const boxes = boxesOf(box.form);
      const [from, to] = [boxes.indexOf(last), boxes.indexOf(box)].sort((a, b) => a - b);
      for (const between of boxes.slice(from, to + 1)) between.checked = box.checked;
    }
    last = box;
    if (box.form.elements.all && !box.checked) box.form.elements.all.checked = false;
    counted(box.form);
  });
  document.addEventListener("counted", (event) => counted(event.target), true);

  // --- copying ---

  // Browsers hand the clipboard to pages of https and localhost only; elsewhere the old way has to do.
  async function copy(text) {
    try {
      return await navigator.clipboard.writeText(text);
    } catch {
      // the old way follows
    }
    const holder = document.createElement("textarea");
    holder.value = text;
    holder.className = "visually-hidden";
    document.body.append(holder);
    const before = document.activeElement;
    holder.select();
    const done = document.execCommand("copy");
    holder.remove();
    before?.focus();
    if (!done) throw new Error("the browser does not let us copy");
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy], [data-copy-text]");
    if (!button) return;
    let said = "Copied";
    try {
      await copy(button.dataset.copyText ?? document.querySelector(button.dataset.copy).textContent);
    } catch {
      said = "Not copied";
    }
    const was = [...button.childNodes];
    button.replaceChildren(said);
    button.setAttribute("aria-live", "polite");
    setTimeout(() => {
      if (button.textContent === said) button.replaceChildren(...was);
    }, 1500);
  });

  function ready(root) {
    for (const el of root.querySelectorAll("[data-copy][hidden], [data-copy-text][hidden], [data-scripted][hidden]")) el.hidden = false;
    for (const form of root.querySelectorAll("form[data-bulk]")) counted(form);
    for (const button of root.querySelectorAll(".filter .submit")) button.hidden = true; // it filters as one types
    for (const log of root.querySelectorAll("[data-log]")) log.scrollTop = log.scrollHeight;
  }
  ready(document);
  document.addEventListener("htmx:afterSettle", (event) => ready(event.detail.elt.parentElement || document));
})();
