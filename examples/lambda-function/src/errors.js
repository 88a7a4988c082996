"use strict";

/** A request that cannot be answered as asked, for a reason on the caller's side. */
class RequestError extends Error {
  /**
   * @param {"InvalidInput"|"UnknownAction"|"TooLarge"|"NotFound"|"StoreFull"} code stable, for programs
   * @param {string} message for people: what is wrong and how to mend it
   * @param {string} [field] the part of the request that it is about
   */
  constructor(code, message, field) {
    super(message);
    this.name = "RequestError";
    this.code = code;
    this.field = field;
  }
}

module.exports = { RequestError };
