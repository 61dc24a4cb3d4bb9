// What recipes and schematics do beyond plain HTML: a list is narrowed while one types, and what a recipe does is shown
// in its place, so that nothing that was typed, a password neither, has to be typed again.
(() => {
  "use strict";

  // --- narrowing a list: what is chosen stays ---

  function narrow(field) {
    const list = document.querySelector(field.dataset.filter);
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const item of list.children) {
      const chosen = item.querySelector("input:checked");
      item.hidden = !chosen && !words.every((word) => item.dataset.words.includes(word));
      if (!item.hidden) shown++;
    }
    const none = document.querySelector("[data-filter-none]");
    if (none) none.hidden = shown > 0;
  }

  document.addEventListener("input", (event) => {
    if (event.target.matches("[data-filter]")) narrow(event.target);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches("[data-filter]")) event.preventDefault(); // it is narrowed already
  });

  // --- looking before saving ---

  function renew(page) {
    for (const fresh of page.querySelectorAll("[data-renew]")) document.getElementById(fresh.id)?.replaceWith(fresh);
    const main = document.getElementById("main");
    main.querySelector(":scope > .notice")?.remove();
    const notice = page.querySelector("#main > .notice");
    if (notice) main.prepend(notice);
    for (const button of main.querySelectorAll("[data-copy][hidden]")) button.hidden = !navigator.clipboard;
    return notice;
  }

  let asked = 0;
  async function preview(form, button) {
    const turn = ++asked;
    button.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form, button)) });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (turn !== asked) return;
      if (!page.querySelector(form.dataset.preview)) throw new Error("another page was answered");
      const notice = renew(page);
      const to = notice || document.querySelector(form.dataset.preview);
      to.scrollIntoView({ block: "nearest" });
      if (!notice) to.focus({ preventScroll: true });
    } catch {
      form.dataset.plainly = "1"; // the browser shows what is wrong better than we could
      form.requestSubmit(button);
    } finally {
      button.removeAttribute("aria-busy");
    }
  }

  // Before app.js, which marks a form as sent.
  document.addEventListener("submit", (event) => {
    const form = event.target, button = event.submitter;
    if (!form.matches("[data-preview]") || button?.value !== "preview" || form.dataset.plainly) return;
    event.preventDefault();
    preview(form, button);
  }, true);

  // What was looked at is not what would be saved any more.
  document.addEventListener("input", (event) => {
    const form = event.target.form;
    if (!form?.matches("[data-preview]")) return;
    for (const button of form.elements) if (button.value === "apply") button.closest(".row").hidden = true;
  });
})();
