// Builds the editor of the pages into internal/web/assets/editor.min.js, which is committed: `npm ci && npm run build`.
// With --out FILE it is written there instead; a test compares the two.
import { build } from "esbuild";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const at = process.argv.indexOf("--out");
const licence = readFileSync(join(here, "node_modules/@codemirror/view/LICENSE"), "utf8").trim();

await build({
  entryPoints: [join(here, "editor/editor.js")],
  outfile: at < 0 ? join(here, "../../internal/web/assets/editor.min.js") : process.argv[at + 1],
  absWorkingDir: here,
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  banner: { js: `/*! Contains CodeMirror and Lezer (npm: @codemirror/*, @lezer/*, crelt, style-mod, w3c-keyname, @marijn/find-cluster-break):\n${licence}\n*/` },
});
