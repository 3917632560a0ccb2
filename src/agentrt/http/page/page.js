"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];
const DEEPEST = 6;

/** An element; children are elements or text, never HTML. */
function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

/** The schema itself where `schema` is a reference into the document. */
function resolve(document_, schema) {
  let found = schema || {};
  while (found.$ref) {
    found = found.$ref.slice(2).split("/").reduce((node, key) => node[key.replaceAll("~1", "/").replaceAll("~0", "~")], document_);
  }
  return found;
}

function alternatives(schema) {
  return schema.oneOf || schema.anyOf || [];
}

/** The type in words: `string or null`, `list of object`. */
function typeOf(document_, schema) {
  const s = resolve(document_, schema);
  if (s.const !== undefined) return JSON.stringify(s.const);
  if (s.enum) return s.enum.map((value) => JSON.stringify(value)).join(" | ");
  const several = alternatives(s);
  if (several.length) return [...new Set(several.map((one) => typeOf(document_, one)))].join(" or ");
  if (s.type === "array") return `list of ${typeOf(document_, s.items)}`;
  return Array.isArray(s.type) ? s.type.join(" or ") : s.type || "anything";
}

function limitsOf(schema) {
  const names = { minimum: "at least", maximum: "at most", minItems: "at least", maxItems: "at most", pattern: "matches" };
  const said = Object.entries(names).filter(([key]) => schema[key] !== undefined).map(([key, word]) => `${word} ${schema[key]}`);
  if (schema.default !== undefined && schema.default !== null) said.push(`default ${JSON.stringify(schema.default)}`);
  return said.join(", ");
}

/** What is inside an object, or inside the items of a list, or inside each alternative. */
function fieldsOf(document_, schema, depth) {
  const s = resolve(document_, schema);
  if (depth > DEEPEST) return null;
  if (s.type === "array") return fieldsOf(document_, s.items, depth);
  const several = alternatives(s).map((one) => fieldsOf(document_, one, depth)).filter(Boolean);
  if (several.length) return el("div", {}, ...several);
  if (!s.properties) return null;
  const rows = Object.entries(s.properties).map(([name, property]) => {
    const inner = resolve(document_, property);
    const required = (s.required || []).includes(name) ? "required" : "";
    const text = [typeOf(document_, property), limitsOf(inner), inner.description].filter(Boolean).join(" · ");
    const head = el("div", {}, el("code", { class: required }, name), " ", el("span", { class: "quiet" }, text));
    return el("div", { class: "field" }, head, fieldsOf(document_, property, depth + 1));
  });
  return el("div", { class: "fields" }, ...rows);
}

function content(document_, holder) {
  return Object.entries(holder.content || {}).map(([mediaType, body]) => {
    const s = resolve(document_, body.schema);
    return el("div", {}, el("code", {}, mediaType), " ", el("span", { class: "quiet" }, s.description || ""),
      fieldsOf(document_, body.schema, 0));
  });
}

/** A smallest value that the schema takes. */
function sample(document_, schema) {
  const s = resolve(document_, schema);
  if (s.default !== undefined && s.default !== null) return s.default;
  if (s.const !== undefined) return s.const;
  if (s.enum) return s.enum[0];
  const several = alternatives(s);
  if (several.length) return sample(document_, several[0]);
  if (s.properties) {
    return Object.fromEntries((s.required || []).map((name) => [name, sample(document_, s.properties[name])]));
  }
  return { array: [], object: {}, integer: 1, number: 1, boolean: false, null: null }[s.type] ?? "…";
}

const EXAMPLES = {
  "POST /runs": { mode: "interactive", input: "Use the echo tool to say: Hello" },
  "POST /v1/chat/completions": { model: "agent", messages: [{ role: "user", content: "Use the echo tool to say: Hello" }] },
};

function curl(document_, method, path, operation) {
  const lines = [`curl ${method === "GET" ? "" : `-X ${method} `}${location.origin}${path}`];
  const body = operation.requestBody && operation.requestBody.content["application/json"];
  if (body) {
    const value = EXAMPLES[`${method} ${path}`] || sample(document_, body.schema);
    lines.push("-H 'content-type: application/json'", `-d '${JSON.stringify(value)}'`);
  }
  return lines.join(" \\\n  ");
}

function parameters(operation) {
  return el("table", {}, ...operation.parameters.map((p) => {
    const said = [p.in, p.required ? "required" : "", (p.schema || {}).type, limitsOf(p.schema || {}), p.description];
    return el("tr", {}, el("td", {}, p.name), el("td", {}, said.filter(Boolean).join(" · ")));
  }));
}

function responses(document_, operation) {
  return el("table", {}, ...Object.entries(operation.responses).map(([status, answer]) =>
    el("tr", {}, el("td", {}, status), el("td", {}, answer.description || "", ...(status < 400 ? content(document_, answer) : [])))));
}

function inside(document_, method, path, operation) {
  return [
    el("p", {}, operation.description || ""),
    el("pre", {}, curl(document_, method, path, operation)),
    ...((operation.parameters || []).length ? [el("h3", {}, "Parameters"), parameters(operation)] : []),
    ...(operation.requestBody ? [el("h3", {}, "Body"), ...content(document_, operation.requestBody)] : []),
    el("h3", {}, "Answers"),
    responses(document_, operation),
  ];
}

function section(document_, method, path, operation) {
  const summary = el("summary", {}, el("span", { class: "method" }, method), el("code", {}, path), " ",
    el("span", { class: "quiet" }, operation.summary || ""));
  const node = el("details", { class: "operation", id: `${method.toLowerCase()}${path}` }, summary);
  node.dataset.words = `${method} ${path} ${operation.summary || ""} ${operation.description || ""}`.toLowerCase();
  node.addEventListener("toggle", () => {
    if (node.open && node.children.length === 1) node.append(...inside(document_, method, path, operation));
  });
  return node;
}

function show(document_) {
  document.getElementById("version").textContent = document_.info.version;
  document.getElementById("description").textContent = document_.info.description || "";
  const groups = new Map();
  for (const [path, item] of Object.entries(document_.paths)) {
    for (const method of METHODS.filter((name) => item[name])) {
      const tag = (item[method].tags || ["other"])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(section(document_, method.toUpperCase(), path, item[method]));
    }
  }
  const main = document.getElementById("operations");
  for (const [tag, nodes] of groups) main.append(el("section", {}, el("h2", {}, tag), ...nodes));
  const wanted = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (wanted) wanted.open = true;
}

document.getElementById("filter").addEventListener("input", (event) => {
  const word = event.target.value.trim().toLowerCase();
  for (const node of document.querySelectorAll(".operation")) node.hidden = !node.dataset.words.includes(word);
});

fetch("/schema/openapi.json")
  .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(`status ${answer.status}`))))
  .then(show)
  .catch((error) => { document.getElementById("description").textContent = `The description could not be read: ${error.message}`; });
