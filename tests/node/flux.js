// Reads a JSON list of Flux texts on stdin; prints, for each, whether the genuine parser and its type checker take it.
const { is_valid_flux: valid } = require("@influxdata/flux-lsp-node");

const texts = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(texts.map((text) => valid(text))));
