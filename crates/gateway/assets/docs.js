// Shows the gateway's OpenAPI document: what is told on the left, what is typed on the right. No library, and nothing
// but text nodes and elements are made, so no text of the document can become markup.

const METHODS = ["get", "put", "post", "patch", "delete"];
const main = document.getElementById("content");
const menu = document.getElementById("menu");
const root = new URL(".", document.baseURI);
let contract;

/** Makes an element. `class`, `href` and the like are attributes; children are elements, texts, or lists of these. */
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== ""));
  return element;
}

/** What a `$ref` stands for, or the thing itself. */
function resolve(thing) {
  if (!thing?.$ref) return thing;
  const keys = thing.$ref.slice(2).split("/").map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
  return resolve(keys.reduce((place, key) => place[key], contract));
}

const schemaName = (schema) => schema?.$ref?.split("/").pop();

/** The inline part of Markdown that the contract uses: `code`, **bold**. */
function inline(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((piece) => {
    if (piece.startsWith("`")) return make("code", null, piece.slice(1, -1));
    if (piece.startsWith("**")) return make("strong", null, piece.slice(2, -2));
    return piece;
  });
}

function table(heads, rows) {
  const head = make("thead", null, make("tr", null, heads.map((text) => make("th", { scope: "col" }, text))));
  return make("div", { class: "table" }, make("table", null, head, make("tbody", null, rows)));
}

/** The block part of Markdown that the contract uses: headings, tables, paragraphs. */
function prose(text = "") {
  return text.trim().split(/\n{2,}/).filter(Boolean).map((block) => {
    const lines = block.split("\n");
    if (block.startsWith("|")) {
      const cells = (line) => line.slice(1, -1).split("|").map((cell) => cell.trim());
      const row = (line) => make("tr", null, cells(line).map((cell) => make("td", null, inline(cell))));
      return table(cells(lines[0]), lines.slice(2).map(row));
    }
    if (!block.startsWith("## ")) return make("p", null, inline(lines.join(" ")));
    const rest = lines.slice(1).join("\n");
    return [make("h3", null, lines[0].slice(3)), ...prose(rest)];
  }).flat();
}

/** A schema in a few words, linked where it has a name. */
function typeWords(schema) {
  if (!schema) return ["any"];
  const name = schemaName(schema);
  if (name) return [make("a", { href: `#schema-${name}` }, name)];
  if (schema.oneOf) return schema.oneOf.flatMap((option, at) => (at ? [" or ", ...typeWords(option)] : typeWords(option)));
  const types = [schema.type ?? "any"].flat();
  if (types[0] === "array") return ["array of ", ...typeWords(schema.items)];
  const format = schema.format ?? schema.contentEncoding;
  return [types.join(" or "), format ? ` (${format})` : ""];
}

/** What a schema demands of its values, one line each. */
function bounds(schema) {
  if (!schema || schema.$ref) return [];
  const range = (low, high, what) => {
    if (low === undefined && high === undefined) return undefined;
    if (high === undefined) return [`at least ${low}${what}`];
    return [low === undefined ? `at most ${high}${what}` : `${low} to ${high}${what}`];
  };
  const codes = (values) => values.flatMap((value, at) => [at ? ", " : "", make("code", null, String(value))]);
  const lines = [
    schema.enum && ["one of ", codes(schema.enum)],
    schema.const !== undefined && ["always ", codes([schema.const])],
    range(schema.minimum, schema.maximum, ""),
    range(schema.minLength, schema.maxLength, " characters"),
    range(schema.minItems, schema.maxItems, " items"),
    schema.pattern && ["matches ", codes([schema.pattern])],
    schema.default !== undefined && ["default ", codes([schema.default])],
  ];
  return lines.filter(Boolean).map((line) => make("div", { class: "quiet" }, line));
}

function fieldRow(name, schema, required, description) {
  const label = [make("span", { class: "name" }, name), required ? make("div", { class: "must" }, "required") : ""];
  const told = prose(description ?? (schema.$ref ? "" : schema.description));
  return make("tr", null, make("th", { scope: "row" }, label), make("td", null, typeWords(schema)), make("td", null, told, bounds(schema)));
}

function fieldTable(schema) {
  const required = new Set(schema.required);
  const rows = Object.entries(schema.properties ?? {}).map(([name, field]) => fieldRow(name, field, required.has(name)));
  return rows.length ? table(["Name", "Type", "Meaning"], rows) : bounds(schema);
}

/** A panel of text to be typed or to be read from a terminal, with a button that copies it. */
function panel(title, text) {
  const button = make("button", { type: "button", "aria-label": `Copy: ${title}` }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Press Ctrl+C";
      getSelection().selectAllChildren(button.closest(".panel").querySelector("pre"));
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  const body = make("pre", { tabindex: "0", "aria-label": title }, text);
  return make("div", { class: "panel" }, make("header", null, make("span", null, title), button), body);
}

const exampleText = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

/** The first example of a media type as text. */
function firstExample(media) {
  const [example] = Object.values(media?.examples ?? {});
  return example === undefined ? undefined : exampleText(resolve(example).value);
}

const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** A line for the terminal that calls the operation. */
function curl(path, method, operation, parameters) {
  const filled = path.replace(/\{(\w+)\}/g, (whole, name) => {
    const example = parameters.find((parameter) => parameter.in === "path" && parameter.name === name)?.example;
    return example === undefined ? whole : encodeURIComponent(example);
  });
  const words = ["curl", method === "get" ? "" : `-X ${method.toUpperCase()}`, quote(root.href.replace(/\/$/, "") + filled)];
  const lines = [words.filter(Boolean).join(" ")];
  if (operation.security?.length) lines.push('-H "Authorization: Bearer $TOKEN"');
  const [type, media] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  if (type) lines.push(`-H ${quote(`Content-Type: ${type}`)}`, `--data-binary ${quote(firstExample(media) ?? "")}`);
  return lines.join(" \\\n  ");
}

function mediaTypes(content) {
  return Object.entries(content ?? {}).map(([type, media]) => {
    const { schema } = media;
    const inlined = schema && !schema.$ref ? [prose(schema.description), fieldTable(schema)] : [];
    return make("div", null, make("p", null, make("code", null, type), " ", typeWords(schema)), inlined);
  });
}

function problemLinks(codes = []) {
  if (!codes.length) return "";
  const links = codes.flatMap((code, at) => [at ? ", " : "", make("a", { href: `problems/${code}` }, make("code", null, code))]);
  return make("p", null, "Problems: ", links);
}

function responseEntry(status, reference) {
  const response = resolve(reference);
  const good = status.startsWith("2");
  const [first] = prose(response.description);
  const headers = Object.entries(response.headers ?? {}).map(([name, header]) => {
    const { schema, required, description } = resolve(header);
    return fieldRow(name, schema, required, description);
  });
  const examples = Object.entries(response.content ?? {}).flatMap(([type, media]) =>
    Object.entries(media.examples ?? {}).map(([name, example]) =>
      panel(`${resolve(example).summary ?? name} (${type})`, exampleText(resolve(example).value))));
  const label = [make("span", { class: good ? "status good" : "status" }, status), " ", ...first.childNodes];
  return make("details", null, make("summary", null, label), problemLinks(response["x-problem-codes"]),
    mediaTypes(response.content), headers.length ? table(["Header", "Type", "Meaning"], headers) : "", examples);
}

function parameterTables(parameters) {
  return ["path", "query", "header"].flatMap((place) => {
    const rows = parameters.filter((parameter) => parameter.in === place)
      .map(({ name, schema, required, description }) => fieldRow(name, schema, required, description));
    return rows.length ? [make("h4", null, `Parameters in the ${place}`), table(["Name", "Type", "Meaning"], rows)] : [];
  });
}

function operationSection({ path, method, operation, shared }) {
  const parameters = [...shared, ...(operation.parameters ?? [])].map(resolve);
  const scope = operation["x-required-scope"];
  const head = make("header", null,
    make("h3", null, operation.summary),
    make("p", { class: "path" }, make("span", { class: `badge ${method}` }, method.toUpperCase()), " ", path),
    make("p", { class: "scope" }, scope ? ["Scope ", make("code", null, scope)] : "No token is needed."));
  const body = operation.requestBody;
  const told = make("div", { class: "told" }, prose(operation.description), parameterTables(parameters),
    body ? [make("h4", null, "Body"), prose(body.description), mediaTypes(body.content)] : "",
    make("h4", null, "Answers"), Object.entries(operation.responses).map(([status, response]) => responseEntry(status, response)));
  const success = resolve(operation.responses[Object.keys(operation.responses).findLast((status) => status.startsWith("2"))]);
  const example = firstExample(Object.values(success?.content ?? {})[0]);
  const typed = make("div", { class: "typed" }, panel("curl", curl(path, method, operation, parameters)),
    example ? panel("Answer", example) : "");
  return make("section", { class: "operation", id: operation.operationId, "aria-label": operation.summary }, head, told, typed);
}

function schemaSection([name, schema]) {
  return make("section", { class: "schema", id: `schema-${name}` }, make("h3", null, name), prose(schema.description),
    schema.properties ? fieldTable(schema) : [make("p", null, typeWords(schema)), bounds(schema)]);
}

function operations() {
  return Object.entries(contract.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method])
      .map((method) => ({ path, method, operation: item[method], shared: item.parameters ?? [] })));
}

const menuLink = (id, ...label) => make("li", null, make("a", { href: `#${id}` }, label));

function groupSection({ tag, members }) {
  return make("section", { id: `tag-${tag.name}` }, make("h2", null, tag.name), prose(tag.description), members.map(operationSection));
}

function groupMenu({ tag, members }) {
  const links = members.map(({ method, operation }) =>
    menuLink(operation.operationId, make("span", { class: `badge ${method}` }, method.toUpperCase()), operation.summary));
  return make("div", null, make("h2", null, tag.name), make("ul", null, links));
}

function render() {
  const { info, tags, components } = contract;
  document.getElementById("version").textContent = info.version;
  const all = operations();
  const groups = tags.map((tag) => ({ tag, members: all.filter(({ operation }) => operation.tags.includes(tag.name)) }));
  main.replaceChildren(
    make("h1", { id: "top" }, info.title),
    make("div", { class: "prose" }, prose(info.description)),
    ...groups.map(groupSection),
    make("h2", { id: "schemas" }, "schemas"),
    ...Object.entries(components.schemas).map(schemaSection),
  );
  const more = make("div", null, make("h2", null, "more"), make("ul", null, menuLink("schemas", "Schemas")));
  menu.replaceChildren(...groups.map(groupMenu), more);
}

/** Hides the operations whose text does not hold every word of the filter. */
function filterOperations(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  for (const section of main.querySelectorAll(".operation")) {
    const said = section.textContent.toLowerCase();
    section.hidden = !words.every((word) => said.includes(word));
    menu.querySelector(`a[href="#${section.id}"]`).parentElement.hidden = section.hidden;
  }
}

/** Marks the operation that is being read in the menu. */
function followReading() {
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries.filter((entry) => entry.isIntersecting)) {
      menu.querySelector("[aria-current]")?.removeAttribute("aria-current");
      if (isIntersecting) menu.querySelector(`a[href="#${target.id}"]`)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-10% 0px -80% 0px" });
  main.querySelectorAll(".operation").forEach((section) => observer.observe(section));
}

try {
  const response = await fetch("docs/openapi.json", { headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error(`the gateway answered ${response.status}`);
  contract = await response.json();
  render();
  document.getElementById("filter").addEventListener("input", ({ target }) => filterOperations(target.value));
  followReading();
  document.getElementById(location.hash.slice(1))?.scrollIntoView({ behavior: "instant" });
} catch (error) {
  document.getElementById("state")?.replaceChildren(`The contract cannot be shown: ${error.message}.`);
} finally {
  main.removeAttribute("aria-busy");
}
