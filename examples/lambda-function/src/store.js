"use strict";

const { randomUUID } = require("node:crypto");

const { RequestError } = require("./errors");

/** A sample must not grow until it fails. */
const MAX_ITEMS = 1_000;

/**
 * Items in memory. Sample storage: every execution environment has items of its own and loses them with
 * its end, so what one invocation creates another may not find. An application that means to keep its
 * items replaces this class and nothing else.
 */
class Store {
  #items = new Map();

  create(name) {
    if (this.#items.size >= MAX_ITEMS) {
      throw new RequestError("StoreFull", `there are ${MAX_ITEMS} items already; delete some`);
    }
    const now = new Date().toISOString();
    const item = { id: randomUUID(), name, createdAt: now, updatedAt: now };
    this.#items.set(item.id, item);
    return { ...item };
  }

  read(id) {
    const item = this.#items.get(id);
    if (item === undefined) throw new RequestError("NotFound", "there is no item with this id", "data.id");
    return { ...item };
  }

  update(id, name) {
    const item = { ...this.read(id), name, updatedAt: new Date().toISOString() };
    this.#items.set(id, item);
    return { ...item };
  }

  delete(id) {
    const item = this.read(id);
    this.#items.delete(id);
    return item;
  }

  list(limit) {
    return [...this.#items.values()].slice(0, limit).map((item) => ({ ...item }));
  }
}

module.exports = { MAX_ITEMS, Store };
