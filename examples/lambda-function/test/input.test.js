"use strict";

const assert = require("node:assert/strict");
const { describe, it } = require("node:test");

const { parse } = require("../src/input");

describe("bad input is named for what it is", () => {
  const cases = [
    ["no request", null, "InvalidInput", undefined],
    ["text", "create", "InvalidInput", undefined],
    ["a list", [], "InvalidInput", undefined],
    ["no action", {}, "InvalidInput", "action"],
    ["an action that is no text", { action: 1 }, "InvalidInput", "action"],
    ["an unknown action", { action: "drop" }, "UnknownAction", "action"],
    ["an action of every object", { action: "toString" }, "UnknownAction", "action"],
    ["no data", { action: "create" }, "InvalidInput", "data"],
    ["data that is text", { action: "create", data: "x" }, "InvalidInput", "data"],
    ["data that is null", { action: "create", data: null }, "InvalidInput", "data.name"],
    ["no name", { action: "create", data: {} }, "InvalidInput", "data.name"],
    ["a name that is a number", { action: "create", data: { name: 5 } }, "InvalidInput", "data.name"],
    ["an empty name", { action: "create", data: { name: "  " } }, "InvalidInput", "data.name"],
    ["a long name", { action: "create", data: { name: "x".repeat(129) } }, "InvalidInput", "data.name"],
    ["no id", { action: "update", data: { name: "x" } }, "InvalidInput", "data.id"],
    ["a limit of nothing", { action: "list", data: { limit: 0 } }, "InvalidInput", "data.limit"],
    ["a limit that is text", { action: "list", data: { limit: "9" } }, "InvalidInput", "data.limit"],
    ["too much", { action: "create", data: { name: "x", more: "x".repeat(20_000) } }, "TooLarge", undefined],
  ];
  for (const [name, event, code, field] of cases) {
    it(`${name}: ${code}`, () => {
      assert.throws(() => parse(event), { name: "RequestError", code, field, message: /.+/ });
    });
  }
});

describe("good input", () => {
  it("is taken over without what nobody asked for", () => {
    const event = { action: "create", data: { name: "test", more: 1 }, other: 2 };
    assert.deepEqual(parse(event), { action: "create", data: { name: "test" } });
    assert.deepEqual(parse({ action: "list" }), { action: "list", data: { limit: 100 } });
  });
});
