// The table of servers: the panel of a row opens in place, what is ticked stays ticked when the table is made anew, and
// all that match can be chosen at once. Without this the panel is a page, and the server does the rest.
(() => {
  "use strict";

  const table = () => document.getElementById("servers-table");
  const boxes = () => [...(table()?.querySelectorAll('input[name="server"]') ?? [])];

  // A link that opens or closes a row's panel changes only the table.
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-edit]");
    if (!link || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    const to = new URL(link.href);
    htmx.ajax("GET", to.pathname + to.search, { target: "#servers-table", select: "#servers-table", swap: "outerHTML", selectOOB: "#stream,#export-links,#as-list" }).then(() => {
      history.replaceState(history.state, "", to.pathname + to.search);
      (document.querySelector("#server-edit input:not([type=hidden])") ?? document.querySelector(to.hash + " th a"))?.focus();
    });
  });

  // What was ticked before the table is made anew is ticked after.
  let ticked = new Set();
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target === table()) ticked = new Set(boxes().filter((box) => box.checked).map((box) => box.value));
  });
  document.addEventListener("htmx:afterSettle", () => {
    for (const box of boxes()) if (ticked.has(box.value)) box.checked = true;
    ticked.clear();
    table()?.querySelector("form[data-bulk]")?.dispatchEvent(new Event("counted"));
  });

  // All that match: those of this page are ticked along.
  document.addEventListener("change", (event) => {
    const all = event.target;
    if (all.name !== "all" || !all.form?.hasAttribute("data-bulk")) return;
    for (const box of boxes()) box.checked = all.checked;
    all.form.dispatchEvent(new Event("counted"));
  });
})();
