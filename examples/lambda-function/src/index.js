"use strict";

// The sample application: keeps items. What it does is not the point; that it is deployed safely is.
//
//   {"action": "create", "data": {"name": "test"}}   →   {"ok": true, "item": {"id": "…", "name": "test", …}}
//   {"action": "read",   "data": {"id": "…"}}         →   {"ok": false, "error": {"code": "NotFound", …}}
//
// Bad input is answered, never thrown: an invocation that fails is this function's fault, and that is
// what the alarms count.

const { fault } = require("./fault");
const { parse } = require("./input");
const release = require("./release.json");
const { Store } = require("./store");

const store = new Store();
const misbehave = fault(release.fault);

const actions = {
  create: (data) => ({ item: store.create(data.name) }),
  read: (data) => ({ item: store.read(data.id) }),
  update: (data) => ({ item: store.update(data.id, data.name) }),
  delete: (data) => ({ item: store.delete(data.id) }),
  list: (data) => ({ items: store.list(data.limit) }),
};

function answer(event) {
  try {
    const { action, data } = parse(event);
    // `parse` lets only these actions through.
    // eslint-disable-next-line security/detect-object-injection
    return { action, response: { ok: true, ...actions[action](data) } };
  } catch (error) {
    if (error.name !== "RequestError") throw error;
    const { code, message, field } = error;
    return { action: null, response: { ok: false, error: { code, message, field } } };
  }
}

/** The handler: `index.handler`. */
exports.handler = async (event, context) => {
  const began = process.hrtime.bigint();
  await misbehave(context);
  const { action, response } = answer(event);
  if ((process.env.LOG_LEVEL ?? "info") !== "error") {
    // Never the data: it belongs to whoever sent it.
    console.log(
      JSON.stringify({
        level: "info",
        message: "answered",
        action,
        ok: response.ok,
        code: response.error?.code,
        ms: Number(process.hrtime.bigint() - began) / 1e6,
        version: release.version,
        requestId: context?.awsRequestId,
      }),
    );
  }
  return response;
};
