// The Runtime API's client for Node.js functions, for the local cloud only.
//
// npm's aws-lambda-ric needs a native build, which nobody should need to try this out. Behaviour follows
// that client's: the same error types, the same console format, callbacks that wait for an empty event
// loop. It uses nothing but Node's own modules.
import http from 'node:http';
import fs from 'node:fs';
import path from 'node:path';
import util from 'node:util';
import { pathToFileURL } from 'node:url';

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');
// Idle sockets of an agent do not keep the process alive: an empty event loop can be noticed.
const agent = new http.Agent({ keepAlive: true, maxSockets: 2 });
const api = '/2018-06-01/runtime';
let current = null;

function call(method, target, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const bytes = body === undefined ? undefined : Buffer.from(body);
    const request = http.request(
      {
        host, port, method, agent, path: api + target,
        headers: bytes === undefined ? headers : { ...headers, 'content-type': 'application/json', 'content-length': bytes.length },
      },
      (response) => {
        const chunks = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks) }));
        response.on('error', reject);
      },
    );
    request.on('error', reject);
    request.end(bytes);
  });
}

/** Without its local cloud a runtime has nothing to live for. */
function orphaned(error) {
  process.stderr.write(`the Runtime API is gone: ${error.message}\n`);
  process.exit(1);
}

function describe(error) {
  if (util.types.isNativeError(error) || (error && error.name && error.message && error.stack)) {
    return {
      errorType: error.name,
      errorMessage: error.message,
      trace: String(error.stack ?? '').split('\n'),
    };
  }
  return { errorType: typeof error, errorMessage: String(error), trace: [] };
}

function named(name, message, cause) {
  const error = new Error(message);
  error.name = name;
  if (cause?.stack) error.stack = `${name}: ${message}\n${String(cause.stack).split('\n').slice(1).join('\n')}`;
  return error;
}

// ---------------------------------------------------------------------------------------- console

function patchConsole() {
  const json = process.env.AWS_LAMBDA_LOG_FORMAT === 'JSON';
  const levels = { log: 'INFO', info: 'INFO', debug: 'DEBUG', warn: 'WARN', error: 'ERROR', trace: 'TRACE' };
  for (const [method, level] of Object.entries(levels)) {
    console[method] = (...values) => {
      const timestamp = new Date().toISOString();
      const message = util.format(...values);
      const line = json
        ? JSON.stringify({ timestamp, level, requestId: current?.id, message: values.length === 1 && typeof values[0] === 'object' ? values[0] : message })
        : [timestamp, current?.id ?? 'undefined', level, message].join('\t').replace(/\n/g, '\r');
      process.stdout.write(`${line}\n`);
    };
  }
}

// ---------------------------------------------------------------------------------------- handler

function locate(root, name) {
  const base = path.basename(name);
  const dot = base.indexOf('.');
  if (dot < 1 || dot === base.length - 1 || name.includes('..')) {
    throw named('Runtime.MalformedHandlerName', 'Bad handler');
  }
  const module = path.join(path.dirname(name), base.slice(0, dot));
  const file = ['.js', '.mjs', '.cjs', '']
    .map((extension) => path.resolve(root, module + extension))
    .find((candidate) => fs.existsSync(candidate) && fs.statSync(candidate).isFile());
  if (file === undefined) {
    throw named('Runtime.ImportModuleError', `Error: Cannot find module '${module}'`);
  }
  return { file, module, exported: base.slice(dot + 1).split('.') };
}

const dig = (object, keys) => keys.reduce((found, key) => found?.[key], object);

async function load(root, name) {
  const { file, module, exported } = locate(root, name);
  let loaded;
  try {
    loaded = await import(pathToFileURL(file).href);
  } catch (error) {
    if (error instanceof SyntaxError) throw named('Runtime.UserCodeSyntaxError', String(error), error);
    if (error?.code === 'MODULE_NOT_FOUND' || error?.code === 'ERR_MODULE_NOT_FOUND') {
      throw named('Runtime.ImportModuleError', String(error), error);
    }
    throw error;
  }
  const handler = dig(loaded, exported) ?? dig(loaded.default, exported);
  if (handler === undefined) throw named('Runtime.HandlerNotFound', `${module}.${exported.join('.')} is undefined or not exported`);
  if (typeof handler !== 'function') throw named('Runtime.HandlerNotFound', `${module}.${exported.join('.')} is not a function`);
  return handler;
}

function contextFor(headers, finish) {
  const deadline = Number(headers['lambda-runtime-deadline-ms']);
  const client = headers['lambda-runtime-client-context'];
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    identity: undefined,
    clientContext: client ? JSON.parse(client) : undefined,
    getRemainingTimeInMillis: () => deadline - Date.now(),
    succeed: (value) => finish({ value }),
    fail: (error) => finish({ error }),
    done: (error, value) => finish(error === undefined || error === null ? { value } : { error }),
  };
}

/** Runs the handler once; answers `{ value }` or `{ error }`. */
function run(handler, event, headers) {
  return new Promise((resolve) => {
    let awaited = false;
    let answer;
    const emptied = () => {
      if (answer !== undefined) resolve(answer);
      else if (awaited) resolve({ error: named('Runtime.NodeJsExit', 'The event loop is empty and the handler\'s promise is not settled') });
      else resolve({ value: null });
    };
    const settle = (outcome) => {
      process.removeListener('beforeExit', emptied);
      resolve(outcome);
    };
    process.once('beforeExit', emptied);
    const context = contextFor(headers, settle);
    const callback = (error, value) => {
      if (answer !== undefined) return;
      answer = error === undefined || error === null ? { value } : { error };
      // As Lambda does: a result waits for the event loop to empty, unless the handler says otherwise.
      if ('error' in answer || context.callbackWaitsForEmptyEventLoop === false) settle(answer);
    };
    try {
      const result = handler(event, context, callback);
      if (typeof result?.then === 'function') {
        awaited = true;
        result.then((value) => settle({ value }), (error) => settle({ error }));
      }
    } catch (error) {
      settle({ error });
    }
  });
}

// ------------------------------------------------------------------------------------------- loop

async function fail(id, description) {
  process.stdout.write(`${new Date().toISOString()}\t${id}\tERROR\tInvoke Error \t${JSON.stringify(description)}\n`);
  await call('POST', `/invocation/${id}/error`, JSON.stringify(description), {
    'Lambda-Runtime-Function-Error-Type': description.errorType,
  });
}

function serialise(value) {
  try {
    return JSON.stringify(value === undefined ? null : value);
  } catch (error) {
    throw named('Runtime.MarshalError', `Unable to stringify response body: ${error.message}`, error);
  }
}

/** What nobody caught ends the process, after it was reported. */
function reportAndExit(code, description) {
  const ended = current === null
    ? call('POST', '/init/error', JSON.stringify(description), { 'Lambda-Runtime-Function-Error-Type': description.errorType })
    : fail(current.id, description);
  ended.catch(() => {}).finally(() => process.exit(code));
}

process.on('uncaughtException', (error) => reportAndExit(129, describe(error)));
process.on('unhandledRejection', (reason) => {
  const inner = describe(reason);
  const error = named('Runtime.UnhandledPromiseRejection', reason instanceof Error ? String(reason) : inner.errorMessage, reason);
  reportAndExit(128, { ...describe(error), reason: inner, promise: {} });
});

async function main() {
  patchConsole();
  let handler;
  try {
    handler = await load(process.env.LAMBDA_TASK_ROOT, process.env._HANDLER);
  } catch (error) {
    const description = describe(error);
    process.stdout.write(`${new Date().toISOString()}\tundefined\tERROR\tUncaught Exception \t${JSON.stringify(description)}\n`);
    await call('POST', '/init/error', JSON.stringify(description), { 'Lambda-Runtime-Function-Error-Type': description.errorType });
    process.exit(1);
  }
  for (;;) {
    const next = await call('GET', '/invocation/next').catch(orphaned);
    const id = next.headers['lambda-runtime-aws-request-id'];
    current = { id };
    process.env._X_AMZN_TRACE_ID = next.headers['lambda-runtime-trace-id'];
    const outcome = await run(handler, JSON.parse(next.body.toString('utf8') || '{}'), next.headers);
    try {
      if ('error' in outcome) throw outcome.error;
      await call('POST', `/invocation/${id}/response`, serialise(outcome.value)).catch(orphaned);
    } catch (error) {
      await fail(id, describe(error)).catch(orphaned);
    }
  }
}

main().catch(orphaned);
