"use strict";
// Shows the document of the API: operations by resource, models, and a search through both. All texts become text
// nodes: nothing of the document is read as HTML.

const place = (id) => document.getElementById(id);
const MODELS = "#/components/schemas/";

function made(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// What stands behind a reference.
function resolved(api, value) {
  if (!value || !value.$ref) return value;
  return value.$ref.slice(2).split("/").reduce((at, key) => at[key], api);
}

function modelLink(reference) {
  const name = reference.slice(MODELS.length);
  return made("a", { href: "#model/" + name }, name);
}

// The parts of a type: texts and links.
function typeOf(schema) {
  if (schema.$ref) return [modelLink(schema.$ref)];
  if (schema.anyOf && !schema.type) {
    const parts = schema.anyOf.filter((one) => one.type !== "null").map(typeOf);
    const alone = parts.flatMap((part, n) => (n ? [" or ", ...part] : part));
    return parts.length < schema.anyOf.length ? [...alone, " or null"] : alone;
  }
  const types = [schema.type].flat();
  if (types.includes("array")) {
    const entries = ["list of ", ...typeOf(schema.items || {})];
    return types.includes("null") ? [...entries, " or null"] : entries;
  }
  return [types.filter(Boolean).join(" or ") || "anything"];
}

function span(low, high) {
  if (low === undefined) return "at most " + high;
  if (high === undefined) return "at least " + low;
  return low === high ? String(low) : low + " to " + high;
}

// The rules of a value, for people.
function rulesOf(schema) {
  const rules = [];
  const has = (...keys) => keys.some((key) => schema[key] !== undefined);
  if (schema.enum) rules.push(schema.enum.filter((one) => one !== null).join(" | "));
  if (schema.const === "") rules.push("empty");
  if (has("minimum", "maximum")) rules.push(span(schema.minimum, schema.maximum));
  if (has("minLength", "maxLength")) rules.push(span(schema.minLength, schema.maxLength) + " characters");
  if (has("minItems", "maxItems")) rules.push(span(schema.minItems, schema.maxItems) + " entries");
  if (schema.anyOf) {
    const parts = schema.anyOf.map(rulesOf).filter(Boolean);
    if (parts.length) rules.push([...new Set(parts)].join(" or "));
  }
  if (schema.items && rulesOf(schema.items)) rules.push("each " + rulesOf(schema.items));
  if (schema["x-elb-supported"] === false) rules.push("refused by this host unless it asks for nothing");
  return rules.join("; ");
}

function table(heads, rows) {
  const head = made("tr", {}, ...heads.map((text) => made("th", { scope: "col" }, text)));
  const body = rows.map((cells) => made("tr", {}, ...cells.map((cell) => made("td", {}, ...[cell].flat()))));
  return made("table", {}, made("thead", {}, head), made("tbody", {}, ...body));
}

function attributes(schema) {
  const required = new Set(schema.required || []);
  const rows = Object.entries(schema.properties || {}).map(([name, of]) => [
    made("code", {}, name), typeOf(of), required.has(name) ? "required" : "", rulesOf(of),
  ]);
  return rows.length ? table(["attribute", "type", "", "rule"], rows) : made("p", {}, "It has no attributes.");
}

function parameters(all) {
  const rows = all.map((one) => [
    made("code", {}, one.name), one.in, typeOf(one.schema), one.required ? "required" : "",
    [rulesOf(one.schema), one.description].filter(Boolean).join("; "),
  ]);
  return table(["parameter", "in", "type", "", "rule"], rows);
}

function responses(api, all) {
  const rows = Object.entries(all).map(([status, one]) => {
    const answer = resolved(api, one);
    const content = answer.content && answer.content["application/json"].schema;
    const reference = content && (content.$ref || (content.allOf && content.allOf[0].$ref));
    return [status, answer.description, reference ? modelLink(reference) : content ? typeOf(content) : "nothing"];
  });
  return table(["status", "meaning", "body"], rows);
}

// The models of a body: the whole, and the resource in it.
function bodies(api, one) {
  if (!one.requestBody) return [];
  const whole = one.requestBody.content["application/json"].schema;
  const inner = Object.values(resolved(api, whole).properties || {}).filter((of) => of.$ref);
  return [whole, ...inner];
}

function operation(api, one) {
  const parts = [];
  if (one.description) parts.push(made("p", {}, one.description));
  if (one.parameters.length) parts.push(made("h3", {}, "Parameters"), parameters(one.parameters));
  for (const [n, schema] of bodies(api, one).entries()) {
    parts.push(made("h3", {}, n ? "In it: " : "Body: ", ...typeOf(schema)), attributes(resolved(api, schema)));
  }
  parts.push(made("h3", {}, "Answers"), responses(api, one.responses));
  return parts;
}

// An entry whose inside is made when it is opened first.
function entry(id, summary, inside, isNot) {
  const element = made("details", { id, class: isNot ? "not" : "" }, made("summary", {}, ...summary));
  element.addEventListener("toggle", () => {
    if (element.open && element.childElementCount === 1) element.append(...inside());
  });
  return element;
}

// Every entry with the words that it is found by.
function entries(api) {
  const found = [];
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, one] of Object.entries(methods)) {
      const isNot = one["x-elb-supported"] === false;
      const summary = [
        made("span", { class: "method" }, method.toUpperCase()), made("span", { class: "path" }, path),
        made("span", { class: "name" }, one.operationId),
      ];
      const given = bodies(api, one).flatMap((schema) => Object.keys(resolved(api, schema).properties || {}));
      const names = [...one.parameters.map((parameter) => parameter.name), ...given];
      found.push({
        group: one.tags[0], isNot, words: [one.operationId, one.summary, method, path, ...names].join(" ").toLowerCase(),
        element: entry("op/" + one.operationId, summary, () => operation(api, one), isNot),
      });
    }
  }
  for (const [name, schema] of Object.entries(api.components.schemas)) {
    const words = [name, ...Object.keys(schema.properties || {})].join(" ").toLowerCase();
    const inside = () => [attributes(schema)];
    found.push({ isNot: false, words, element: entry("model/" + name, [made("code", {}, name)], inside, false) });
  }
  return found;
}

function filtered(found, groups) {
  const wanted = place("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const all = place("all").checked;
  let operations = 0, models = 0;
  for (const one of found) {
    const fits = (all || !one.isNot) && wanted.every((word) => one.words.includes(word));
    one.element.hidden = !fits;
    if (fits && one.group) operations += 1;
    if (fits && !one.group) models += 1;
  }
  for (const group of groups) {
    const isEmpty = !group.entries.some((one) => !one.element.hidden);
    group.section.hidden = isEmpty;
    group.link.hidden = isEmpty;
  }
  place("models-title").hidden = models === 0;
  place("count").textContent = operations + " operations, " + models + " models";
}

// Opens what the address names, even if the search has hidden it.
function followed(found, groups) {
  const id = decodeURIComponent(location.hash.slice(1));
  const target = found.find((one) => one.element.id === id);
  if (!target) return;
  if (target.element.hidden) {
    place("search").value = "";
    place("all").checked ||= target.isNot;
    filtered(found, groups);
  }
  target.element.open = true;
  target.element.scrollIntoView();
}

function shown(api) {
  place("about").textContent = api.info.description.replaceAll("`", "");
  const found = entries(api);
  const groups = api.tags.map(({ name }) => {
    const own = found.filter((one) => one.group === name);
    const section = made("section", { id: "resource/" + name }, made("h2", {}, name), ...own.map((one) => one.element));
    const link = made("a", { href: "#resource/" + name }, name);
    place("operations").append(section);
    place("contents").append(link);
    return { entries: own, section, link };
  });
  place("contents").append(made("a", { href: "#models-title" }, "Models"));
  place("models").append(...found.filter((one) => !one.group).map((one) => one.element));
  const filter = () => filtered(found, groups);
  place("search").addEventListener("input", filter);
  place("all").addEventListener("change", filter);
  window.addEventListener("hashchange", () => followed(found, groups));
  filter();
  followed(found, groups);
}

fetch("openapi.json")
  .then((answer) => answer.json())
  .then(shown)
  .catch((error) => { place("about").textContent = "The document cannot be read: " + error; });
