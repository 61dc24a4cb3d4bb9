// The search over every page, the drawer of what is running, and the keys. Without this their links lead to pages.
(() => {
  "use strict";

  const byId = (id) => document.getElementById(id);
  const field = (el) => el.isContentEditable || el.matches?.("textarea, select, input:not([type=checkbox], [type=radio], [type=button], [type=submit])");

  // --- dialogs: the browser keeps the focus inside, closes them by Escape, and gives the focus back ---

  const opening = { palette: openPalette, drawer: fillDrawer };

  function open(id) {
    const dialog = byId(id);
    if (!dialog) return false; // the login page has none
    if (!dialog.open) {
      for (const other of document.querySelectorAll("dialog[open]")) other.close();
      for (const menu of document.querySelectorAll("details[data-menu][open]")) menu.open = false;
      dialog.showModal();
    }
    opening[id]?.();
    return true;
  }

  document.addEventListener("click", (event) => {
    if (event.target instanceof HTMLDialogElement) {
      const r = event.target.getBoundingClientRect(); // the dialog itself, or what is behind it
      const inside = event.clientX >= r.left && event.clientX <= r.right && event.clientY >= r.top && event.clientY <= r.bottom;
      if (!inside) event.target.close();
      return;
    }
    const opener = event.target.closest?.("[data-opens]");
    if (!opener || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    if (open(opener.dataset.opens)) event.preventDefault();
  });

  // text reads a piece of a page; somebody whose session is over is led to the login page.
  async function piece(address, signal) {
    const answer = await fetch(address, { signal, headers: { Accept: "text/html" } });
    if (answer.redirected) {
      location.assign("/login?next=" + encodeURIComponent(location.pathname + location.search));
      throw new DOMException("log in first", "AbortError");
    }
    if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
    return answer.text();
  }

  // --- the palette ---

  const words = byId("palette-words");
  const list = byId("palette-hits");
  let asked = null; // words that the list answers, or will
  let answered = Promise.resolve();
  let request;
  let due;

  const options = () => [...list.querySelectorAll("[role=option]")];
  const marked = () => list.querySelector("[aria-selected=true]");

  function mark(option) {
    marked()?.setAttribute("aria-selected", "false");
    if (!option) {
      words.removeAttribute("aria-activedescendant");
      return;
    }
    option.setAttribute("aria-selected", "true");
    words.setAttribute("aria-activedescendant", option.id);
    option.scrollIntoView({ block: "nearest" });
  }

  // What can be done on the page itself: its panels.
  function here(text) {
    const parts = text.toLowerCase().split(/\s+/).filter(Boolean);
    const some = [...document.querySelectorAll("main details.panel > summary")].filter((summary) =>
      parts.every((word) => summary.textContent.toLowerCase().includes(word)));
    if (!some.length) return;
    const group = document.createElement("div");
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", "On this page");
    const name = document.createElement("div");
    name.className = "hits-name";
    name.textContent = "On this page";
    group.append(name);
    some.slice(0, 8).forEach((summary, i) => {
      const option = document.createElement("button");
      option.type = "button";
      option.className = "hit";
      option.id = `hit-here-${i}`;
      option.tabIndex = -1;
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", "false");
      option.textContent = summary.textContent.trim();
      option.addEventListener("click", () => {
        byId("palette").close();
        summary.parentElement.open = true;
        summary.focus();
        summary.scrollIntoView({ block: "center" });
      });
      group.append(option);
    });
    list.append(group);
  }

  // Whoever types the slash once more than is needed means the same.
  const wanted = () => words.value.replace(/^\/+/, "").trim();

  function ask() {
    clearTimeout(due);
    const text = wanted();
    if (text === asked) return answered;
    asked = text;
    request?.abort();
    request = new AbortController();
    answered = answer(text, request.signal);
    return answered;
  }

  async function answer(text, signal) {
    let say = "";
    try {
      list.innerHTML = await piece("/search/hits?q=" + encodeURIComponent(text), signal);
      here(text);
      const n = options().length;
      say = n ? `${n} found` : `Nothing is called “${text}”`;
      mark(text ? options()[0] : null);
      list.scrollTop = 0;
    } catch (error) {
      if (error.name === "AbortError") return;
      asked = null;
      list.replaceChildren();
      say = `No answer: ${error.message}. Press Enter to try the page of the search.`;
    }
    byId("palette-said").textContent = say;
  }

  function openPalette() {
    words.focus();
    words.select();
    ask();
  }

  if (words) {
    words.addEventListener("input", () => {
      clearTimeout(due);
      due = setTimeout(ask, 60);
    });
    words.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
      event.preventDefault();
      const all = options();
      const at = all.indexOf(marked());
      mark(all[event.key === "ArrowDown" ? (at + 1) % all.length : (Math.max(at, 0) + all.length - 1) % all.length]);
    });
    byId("palette-form").addEventListener("submit", async (event) => {
      event.preventDefault();
      await ask();
      const option = marked();
      if (option) option.click();
      else location.assign("/search?q=" + encodeURIComponent(wanted()));
    });
    list.addEventListener("mousemove", (event) => {
      const option = event.target.closest("[role=option]");
      if (option && option !== marked()) mark(option);
    });
  }

  // --- the drawer: read again whenever the page's stream says that something is going on ---

  async function fillDrawer() {
    let html;
    try {
      html = await piece("/running");
    } catch (error) {
      if (error.name === "AbortError") return;
      const said = document.createElement("p");
      said.textContent = `No answer: ${error.message}.`;
      byId("drawer-list").replaceChildren(said);
      return;
    }
    Idiomorph.morph(byId("drawer-list"), html, { morphStyle: "outerHTML" });
  }

  document.addEventListener("renewed", (event) => {
    if (event.target.id === "running" && byId("drawer")?.open) fillDrawer();
  });

  // --- keys ---

  const single = () => {
    try {
      return localStorage.getItem("keys") !== "off";
    } catch {
      return true; // a browser that keeps nothing
    }
  };
  const choice = byId("keys-single");
  if (choice) {
    choice.checked = single();
    choice.addEventListener("change", () => {
      try {
        localStorage.setItem("keys", choice.checked ? "on" : "off");
      } catch {
        choice.checked = true;
      }
    });
  }

  // Rows of tables, and of lists that are like tables.
  const rows = () => [...document.querySelectorAll("main tbody tr, main .needs > li, main ul.hits > li")].filter((row) => row.getClientRects().length);
  let at; // id of the row that had the focus last, for when it was renewed

  function step(by) {
    const all = rows();
    if (!all.length) return;
    const here = document.activeElement.closest?.("tr, li");
    let i = all.indexOf(here);
    if (i < 0 && at) i = all.findIndex((row) => row.id === at);
    i = i < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, i + by));
    focusRow(all[i]);
  }

  function focusRow(row) {
    at = row.id;
    let target = row.querySelector("th a[href], a[href], button:not([hidden])");
    if (!target) {
      row.tabIndex = -1;
      target = row;
    }
    target.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  }

  const row = () => document.activeElement.closest?.("main tbody tr, main .needs > li");

  const deeds = {
    "/": () => open("palette"),
    "?": () => open("keys"),
    r: () => open("drawer"),
    j: () => step(1),
    k: () => step(-1),
    x: (event) => {
      const box = row()?.querySelector("input[type=checkbox]");
      box?.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, shiftKey: event.shiftKey }));
    },
    m: () => {
      const menu = row()?.querySelector("summary, [aria-haspopup]");
      menu?.focus();
      menu?.click();
    },
    f: () => {
      const search = document.querySelector("main [data-search]");
      search?.focus();
      search?.select();
    },
  };

  let going; // g was typed, and this is its end
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k") {
      if (open("palette")) event.preventDefault();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || field(event.composedPath()[0])) return; // the editor has its text in a shadow root
    if (document.querySelector("dialog[open]") || !single()) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (going > Date.now()) {
      going = 0;
      const to = document.querySelector(`.rail [data-go="${CSS.escape(key)}"]`);
      if (to) {
        event.preventDefault();
        to.click();
      }
      return;
    }
    if (key === "g") {
      going = Date.now() + 1500;
      return;
    }
    if (Object.hasOwn(deeds, key)) {
      event.preventDefault();
      deeds[key](event);
    }
  });

  // --- menus: arrows move in them, Escape closes them, and so does leaving them ---

  const entries = (menu) => [...menu.querySelectorAll("a[href], button, input, select")].filter((el) => el.getClientRects().length && !el.disabled);

  document.addEventListener("keydown", (event) => {
    const menu = event.target.closest?.("details[data-menu]");
    if (!menu?.open) return;
    if (event.key === "Escape") {
      menu.open = false;
      menu.querySelector("summary").focus();
      return;
    }
    if ((event.key !== "ArrowDown" && event.key !== "ArrowUp") || field(event.target)) return;
    event.preventDefault();
    const all = entries(menu);
    const i = all.indexOf(event.target) + (event.key === "ArrowDown" ? 1 : -1);
    all[(i + all.length) % all.length]?.focus();
  });
  document.addEventListener("focusout", (event) => {
    const menu = event.target.closest?.("details[data-menu][open]");
    if (menu && event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false;
  });
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details[data-menu][open]")) if (!menu.contains(event.target)) menu.open = false;
  });
})();
