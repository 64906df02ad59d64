// Prints the JSON Schema of a classic dashboard, made from the types that Grafana publishes for its version.
const path = require("path");
const { createGenerator } = require("ts-json-schema-generator");

const folder = path.dirname(require.resolve("@grafana/schema/package.json"));
const types = path.join(folder, "dist/types/raw/dashboard/x/types.gen.d.ts");
const generator = createGenerator({ path: types, type: "Dashboard", skipTypeCheck: true, additionalProperties: false });
console.log(JSON.stringify(generator.createSchema("Dashboard")));
