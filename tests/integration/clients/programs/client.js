// Runs errands with Node's http and an agent that keeps connections alive; see Program in harness/clients.py.
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const { pipeline } = require("node:stream");

const proxy = process.argv[2] === "-" ? null : new URL(process.argv[2]);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

/** Stands for the site's DNS, in which RapidSOS's names lead to the proxy. */
function lookup(name, options, callback) {
  const address = { address: "127.0.0.1", family: 4 };
  if (options.all) callback(null, [address]);
  else callback(null, address.address, address.family);
}

/** Splits a URL without changing its path, as new URL() would. */
function split(url) {
  const [, host, port, path] = /^http:\/\/([^/:]+)(?::(\d+))?(\/.*)$/.exec(url);
  return { host, port: port ?? 80, path };
}

function run([method, url, framing, body, answer, authorization]) {
  const { host, port, path } = split(url);
  const headers = { Authorization: authorization };
  if (framing === "length") headers["Content-Length"] = fs.statSync(body).size;
  if (framing === "chunked") headers["Transfer-Encoding"] = "chunked";
  const address = proxy
    ? { host: proxy.hostname, port: proxy.port, path: url, headers: { Host: host, ...headers } }
    : { host, port, path, headers };
  return new Promise((resolve, reject) => {
    const request = http.request({ ...address, method, agent, lookup });
    request.on("error", reject);
    request.on("response", (response) => {
      pipeline(response, fs.createWriteStream(answer), (error) => (error ? reject(error) : resolve(response.statusCode)));
    });
    if (framing === "none") request.end();
    else fs.createReadStream(body).pipe(request);
  });
}

async function main() {
  for (const line of fs.readFileSync(0, "utf8").split("\n").filter(Boolean)) {
    console.log(await run(line.split("\t")));
  }
  agent.destroy();
}

main();
