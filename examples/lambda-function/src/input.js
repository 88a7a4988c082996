"use strict";

const { RequestError } = require("./errors");

/** What each action needs in `data`. */
const FIELDS = new Map([
  ["create", ["name"]],
  ["read", ["id"]],
  ["update", ["id", "name"]],
  ["delete", ["id"]],
  ["list", []],
]);

/** Characters of a request as JSON, at most. */
const MAX_REQUEST = 16_384;

const MAX_NAME = 128;
const MAX_LIMIT = 100;

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(data, field, max) {
  // `field` comes from the table above.
  // eslint-disable-next-line security/detect-object-injection
  const value = data[field];
  const path = `data.${field}`;
  if (value === undefined) throw new RequestError("InvalidInput", `${path} is missing`, path);
  if (typeof value !== "string") throw new RequestError("InvalidInput", `${path} must be text`, path);
  if (value.trim() === "") throw new RequestError("InvalidInput", `${path} must not be empty`, path);
  if (value.length > max) {
    throw new RequestError("InvalidInput", `${path} must have at most ${max} characters`, path);
  }
  return value;
}

function limit(data) {
  const value = data.limit ?? MAX_LIMIT;
  if (!Number.isInteger(value) || value < 1 || value > MAX_LIMIT) {
    const message = `data.limit must be a whole number from 1 to ${MAX_LIMIT}`;
    throw new RequestError("InvalidInput", message, "data.limit");
  }
  return value;
}

/**
 * Checks a request.
 *
 * @returns {{action: string, data: {id?: string, name?: string, limit?: number}}}
 * @throws {RequestError} where it is not a request
 */
function parse(event) {
  if (!isObject(event)) throw new RequestError("InvalidInput", "the request must be a JSON object");
  if (JSON.stringify(event).length > MAX_REQUEST) {
    throw new RequestError("TooLarge", `the request must have at most ${MAX_REQUEST} characters`);
  }
  const { action } = event;
  if (action === undefined) throw new RequestError("InvalidInput", "action is missing", "action");
  if (typeof action !== "string") throw new RequestError("InvalidInput", "action must be text", "action");
  const fields = FIELDS.get(action);
  if (fields === undefined) {
    const known = [...FIELDS.keys()].join(", ");
    throw new RequestError("UnknownAction", `there is no such action; there are: ${known}`, "action");
  }
  const given = event.data ?? {};
  if (event.data === undefined && fields.length > 0) {
    throw new RequestError("InvalidInput", `data is missing; ${action} needs ${fields.join(" and ")}`, "data");
  }
  if (!isObject(given)) throw new RequestError("InvalidInput", "data must be a JSON object", "data");
  const data = Object.fromEntries(fields.map((field) => [field, text(given, field, MAX_NAME)]));
  if (action === "list") data.limit = limit(given);
  return { action, data };
}

module.exports = { parse };
