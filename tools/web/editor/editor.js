// The editor of patches: CodeMirror in the place of a plain field, which stays in its form and is sent as ever. What it
// completes, explains and refuses, the server says: the same that says it when the form is sent.
import { acceptCompletion, autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap, startCompletion } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyField, historyKeymap, indentWithTab } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { bracketMatching, foldGutter, foldKeymap, HighlightStyle, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { linter, lintGutter, lintKeymap } from "@codemirror/lint";
import { MergeView, unifiedMergeView } from "@codemirror/merge";
import { EditorState } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, highlightActiveLineGutter, hoverTooltip, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";

// Colours are those of the page, in both schemes: custom properties reach into the shadow root.
const theme = EditorView.theme({
  "&": { color: "var(--text)", backgroundColor: "var(--surface)", border: "1px solid var(--line-strong)", borderRadius: "var(--radius)", fontSize: "13px" },
  "&.cm-focused": { outline: "2px solid var(--focus)", outlineOffset: "1px" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.5", maxHeight: "70vh", overflow: "auto" },
  ".cm-content, .cm-gutter": { minHeight: "360px" },
  ".cm-content": { caretColor: "var(--text)", padding: "8px 0" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-gutters": { backgroundColor: "var(--sunken)", color: "var(--text-quiet)", border: "0", borderRadius: "var(--radius) 0 0 var(--radius)" },
  ".cm-activeLine": { backgroundColor: "color-mix(in srgb, var(--accent) 6%, transparent)" },
  ".cm-activeLineGutter": { backgroundColor: "var(--hover)", color: "var(--text)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "color-mix(in srgb, var(--accent) 28%, transparent)" },
  ".cm-matchingBracket": { backgroundColor: "color-mix(in srgb, var(--ok) 25%, transparent)" },
  ".cm-foldPlaceholder": { backgroundColor: "var(--sunken)", borderColor: "var(--line)", color: "var(--text-quiet)" },
  ".cm-tooltip": { backgroundColor: "var(--surface)", border: "1px solid var(--line-strong)", borderRadius: "var(--radius)", color: "var(--text)", fontFamily: "var(--font)", maxWidth: "min(520px, 90vw)" },
  ".cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)", maxHeight: "14em" },
  ".cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--accent-fill)", color: "var(--on-accent)" },
  ".cm-completionMatchedText": { textDecoration: "none", fontWeight: "600" },
  ".cm-completionDetail": { fontStyle: "normal", opacity: "0.8", marginLeft: "12px" },
  ".cm-completionInfo": { padding: "8px 12px" },
  ".cm-diagnostic": { padding: "6px 12px", whiteSpace: "normal" },
  ".cm-diagnostic-error": { borderLeftColor: "var(--broken)" },
  ".cm-diagnostic-warning": { borderLeftColor: "var(--attention)" },
  "&.cm-merge-a .cm-changedLine, .cm-deletedChunk": { backgroundColor: "var(--broken-ground)" },
  "&.cm-merge-b .cm-changedLine, .cm-insertedLine": { backgroundColor: "var(--ok-ground)" },
  ".cm-changedText, .cm-deletedChunk .cm-deletedText": { background: "none", textDecoration: "underline 2px", textUnderlineOffset: "3px" },
  "&.cm-merge-a .cm-changedLineGutter, .cm-deletedLineGutter": { background: "var(--broken)" },
  "&.cm-merge-b .cm-changedLineGutter": { background: "var(--ok)" },
  ".cm-collapsedLines": { color: "var(--text-quiet)", background: "var(--sunken)" },
  ".about": { padding: "8px 12px", display: "grid", gap: "4px", fontSize: "13px", maxHeight: "280px", overflow: "auto" },
  ".about code": { fontFamily: "var(--mono)" },
  ".about p": { margin: "0" },
  ".about small": { color: "var(--text-quiet)" },
  ".about pre": { margin: "0", padding: "6px 8px", background: "var(--sunken)", borderRadius: "4px", fontFamily: "var(--mono)", fontSize: "12px", whiteSpace: "pre-wrap" },
});

const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--accent)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--ok)" },
  { tag: [tags.comment, tags.lineComment], color: "var(--text-quiet)", fontStyle: "italic" },
  { tag: [tags.keyword, tags.meta, tags.labelName, tags.typeName], color: "var(--attention)" },
  { tag: [tags.separator, tags.punctuation, tags.squareBracket, tags.brace], color: "var(--text-quiet)" },
]);

// ask sends the form as it is, with more, and gives what the server answers.
async function ask(field, address, more, signal) {
  const body = new URLSearchParams(new FormData(field.form));
  for (const [name, value] of Object.entries(more)) body.set(name, value);
  const answer = await fetch(address, { method: "POST", body, signal, headers: { Accept: "application/json" } });
  if (!answer.ok || !answer.headers.get("Content-Type").startsWith("application/json")) throw new Error(`${address}: ${answer.status}`);
  return answer.json();
}

// The server counts lines and columns from 1, columns in characters; the editor counts UTF-16 units from the start.
function placeOf(state, pos) {
  const line = state.doc.lineAt(pos);
  return { line: line.number, column: [...line.text.slice(0, pos - line.from)].length + 1 };
}

function positionOf(doc, line, column) {
  const at = doc.line(Math.max(1, Math.min(line, doc.lines)));
  return Math.min(at.to, at.from + [...at.text].slice(0, Math.max(0, column - 1)).join("").length);
}

function element(tag, text) {
  const el = document.createElement(tag);
  el.textContent = text;
  return el;
}

// explain writes what is known of a field.
function explain(about) {
  const box = document.createElement("div");
  box.className = "about";
  const head = document.createElement("p");
  head.append(element("code", about.title), " ", element("small", about.type));
  box.append(head);
  for (const text of about.description ?? []) box.append(element("p", text));
  if (about.values?.length) box.append(element("p", "One of: " + about.values.join(", ")));
  if (about.notes?.length) box.append(element("small", about.notes.join(" ")));
  for (const text of (about.examples ?? []).slice(0, 1)) box.append(element("pre", text));
  return box;
}

// write puts a completion in its place; where a value comes next, those that it can have are offered at once.
function write(view, item, from, to) {
  view.dispatch({ changes: { from, to, insert: item.insert }, selection: { anchor: from + item.insert.length }, userEvent: "input.complete" });
  if (item.insert.endsWith(" ")) startCompletion(view);
}

function completing(field) {
  return async (context) => {
    if (!context.explicit && !context.matchBefore(/[\w.$\{-]+$/)) return null;
    const stop = new AbortController();
    context.addEventListener("abort", () => stop.abort(), { onDocChange: true });
    let found;
    try {
      found = await ask(field, field.dataset.complete, placeOf(context.state, context.pos), stop.signal);
    } catch {
      return null; // one goes on typing
    }
    const line = context.state.doc.lineAt(context.pos);
    const from = positionOf(context.state.doc, line.number, found.from);
    return {
      from, filter: false,
      options: found.items.map((item, i) => ({
        label: item.label, detail: item.detail, type: item.kind === "value" ? "enum" : item.kind, boost: -i / found.items.length,
        info: item.about ? () => explain(item.about) : undefined,
        apply: (view, _, start, end) => write(view, item, start, end),
      })),
    };
  };
}

function explaining(field) {
  return hoverTooltip(async (view, pos) => {
    let found;
    try {
      found = await ask(field, field.dataset.hover, placeOf(view.state, pos));
    } catch {
      return null;
    }
    return found.about ? { pos, above: true, create: () => ({ dom: explain(found.about) }) } : null;
  }, { hoverTime: 400 });
}

// said is a problem in one piece.
function said(p) {
  return (p.servers ? p.servers + ": " : "") + (p.where && !p.href ? p.where + ": " : "") + p.message + (/[.!?…]$/.test(p.message) ? "" : ".") + (p.instead ? " Instead: " + p.instead : "");
}

// list shows the problems below the editor, in words: what a mark in the gutter says only to who points at it.
function list(field, view, problems) {
  const box = document.getElementById("patch-problems");
  if (!box) return;
  const items = problems.map((p) => {
    const item = element("li", "");
    item.className = p.severity;
    if (p.line > 0) {
      const place = element("button", `Line ${p.line}, column ${p.column}`);
      place.type = "button";
      place.className = "quiet";
      place.addEventListener("click", () => {
        view.dispatch({ selection: { anchor: positionOf(view.state.doc, p.line, p.column) }, scrollIntoView: true });
        view.focus();
      });
      item.append(place, " ");
    } else if (p.href) {
      const place = element("a", p.where);
      place.href = p.href;
      item.append(place, " ");
    }
    item.append(element("span", (p.severity === "error" ? "Refused: " : "Mind: ") + said(p)));
    return item;
  });
  const ol = document.createElement("ol");
  ol.append(...items);
  const fine = element("p", field.value.trim() ? "Talos takes it, on every server that uses it." : "");
  fine.className = "hint";
  box.replaceChildren(items.length ? ol : fine);
  box.dataset.checked = view.state.doc.length;
}

function checking(field) {
  let last;
  return linter(async (view) => {
    last?.abort();
    last = new AbortController();
    let found;
    try {
      found = await ask(field, field.dataset.check, {}, last.signal);
    } catch {
      return [];
    }
    list(field, view, found.problems);
    const { doc } = view.state;
    return found.problems.filter((p) => p.line > 0).map((p) => {
      const from = positionOf(doc, p.line, p.column);
      const rest = doc.lineAt(from).text.slice(from - doc.lineAt(from).from);
      return { from, to: from + Math.max(rest.match(/^[^\s:,\]}]*/)[0].length, Math.min(1, rest.length)), severity: p.severity, message: said(p) };
    });
  }, { delay: 600 });
}

// Typed over what is selected, a browser keeps its colours in an inline style, which the policy refuses: we replace it.
const replacing = EditorView.domEventHandlers({
  beforeinput(event, view) {
    const { from, to, empty } = view.state.selection.main;
    if (event.inputType !== "insertText" || event.data === null || view.composing || empty) return false;
    event.preventDefault();
    const insert = () => view.state.update(view.state.replaceSelection(event.data), { userEvent: "input.type", scrollIntoView: true });
    if (!view.state.facet(EditorView.inputHandler).some((handle) => handle(view, from, to, event.data, insert))) view.dispatch(insert());
    return true;
  },
});

// reading is what an editor has that is only looked at.
function reading(label) {
  return [lineNumbers(), yaml(), syntaxHighlighting(colours), theme, EditorState.tabSize.of(2), EditorView.contentAttributes.of({ "aria-label": label, tabindex: "0" })];
}

function writing(field, label) {
  return [
    reading(label), lintGutter(), foldGutter(), history(), drawSelection(), indentOnInput(), bracketMatching(), closeBrackets(),
    highlightActiveLine(), highlightActiveLineGutter(), indentUnit.of("  "),
    autocompletion({ override: [completing(field)], icons: false }), explaining(field), checking(field), replacing,
    EditorView.contentAttributes.of({ spellcheck: "false", autocapitalize: "off" }),
    EditorView.updateListener.of((update) => {
      if (!update.docChanged) return;
      field.value = update.state.doc.toString();
      field.dispatchEvent(new Event("input", { bubbles: true }));
    }),
    keymap.of([
      { key: "Mod-s", preventDefault: true, run: () => (field.form.requestSubmit(), true) },
      { key: "Tab", run: acceptCompletion },
      ...closeBracketsKeymap, ...completionKeymap, ...lintKeymap, ...foldKeymap, ...historyKeymap, ...defaultKeymap, indentWithTab,
    ]),
  ];
}

const besides = new CSSStyleSheet();
besides.replaceSync(".cm-mergeView { max-height: 70vh; overflow: auto } .cm-mergeView .cm-scroller { max-height: none } .cm-mergeViewEditors { gap: 8px }");

// show puts an editor into root: alone, or beside the text that is saved; on narrow screens that stands between its lines.
function show(root, field, label, before, beside) {
  const selection = before?.state.selection;
  const kept = before ? historyField.init(() => before.state.field(historyField)) : [];
  const doc = field.value, extensions = [kept, writing(field, label)];
  if (beside && matchMedia("(min-width: 721px)").matches) {
    const saved = { doc: field.dataset.saved, extensions: [reading("Saved: " + label), EditorState.readOnly.of(true), EditorView.editable.of(false)] };
    const both = new MergeView({ root, parent: root, a: saved, b: { doc, selection, extensions } });
    return { view: both.b, close: () => both.destroy() };
  }
  if (beside) extensions.push(unifiedMergeView({ original: field.dataset.saved, mergeControls: false }));
  const view = new EditorView({ root, parent: root, state: EditorState.create({ doc, selection, extensions }) });
  return { view, close: () => view.destroy() };
}

function edit(field) {
  const label = field.labels[0];
  const holder = document.createElement("div");
  holder.className = "config-editor";
  // In a shadow root, CodeMirror's styles are adopted style sheets, which a strict policy for content takes.
  const root = holder.attachShadow({ mode: "open" });
  let open = show(root, field, label.textContent);
  root.adoptedStyleSheets.push(besides);
  field.after(holder);
  field.hidden = true;
  field.required = false; // a hidden field cannot say so; the server does
  label.addEventListener("click", (event) => {
    event.preventDefault();
    open.view.focus();
  });
  for (const keys of document.querySelectorAll(".config-keys")) keys.hidden = false;
  const beside = document.querySelector("[data-beside]");
  if (beside && field.dataset.saved !== undefined) {
    beside.hidden = false;
    beside.addEventListener("click", () => {
      const on = beside.getAttribute("aria-pressed") !== "true";
      beside.setAttribute("aria-pressed", on);
      const before = open;
      open = show(root, field, label.textContent, before.view, on);
      before.close();
      open.view.focus();
    });
  }
  if (field.dataset.line) {
    const line = open.view.state.doc.line(Math.min(field.dataset.line, open.view.state.doc.lines));
    open.view.dispatch({ selection: { anchor: line.from }, effects: EditorView.scrollIntoView(line.from, { y: "center" }) });
  }
}

for (const field of document.querySelectorAll("textarea[data-editor]")) edit(field);
