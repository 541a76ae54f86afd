// Load pages of a Data Cloud query with jsforce, 10,000 records a job, and read the results of each job.
// Arguments: jsforce's directory, the org's URL, a token, the query, the object, the external id, rows of a job.
const fs = require("node:fs");

const [directory, url, token, sql, object, externalId, jobRows] = process.argv.slice(2);
const jsforce = require(require.resolve("jsforce", { paths: [directory] }));

async function ask(path, options = {}) {
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  const answer = await fetch(`${url}/services/data/v66.0/${path}`, { headers, ...options });
  return answer.json();
}

async function main() {
  const began = process.cpuUsage();
  const connection = new jsforce.Connection({ instanceUrl: url, accessToken: token, version: "66.0" });
  connection.bulk2.pollInterval = 50;
  connection.bulk2.pollTimeout = 600000;
  const first = await ask("ssot/query-sql?dataspace=default", {
    method: "POST",
    body: JSON.stringify({ sql, rowLimit: 1 }),
  });
  const names = first.metadata.map((column) => column.name);
  const total = first.status.rowCount;
  let offset = 0;
  let succeeded = 0;
  while (offset < total) {
    const records = [];
    while (records.length < Number(jobRows) && offset < total) {
      const limit = Math.min(Number(jobRows) - records.length, total - offset);
      const path = `ssot/query-sql/${first.status.queryId}/rows?offset=${offset}&rowLimit=${limit}&dataspace=default`;
      const page = await ask(path);
      for (const row of page.data) {
        records.push(Object.fromEntries(names.map((name, index) => [name, row[index]])));
      }
      offset += page.data.length;
    }
    const results = await connection.bulk2.loadAndWaitForResults({
      object,
      operation: "upsert",
      externalIdFieldName: externalId,
      input: records,
    });
    succeeded += results.successfulResults.length;
  }
  const used = process.cpuUsage(began);
  const cpuSeconds = (used.user + used.system) / 1e6;
  console.log(JSON.stringify({ cpu_seconds: cpuSeconds, peak_mb: peakMb(), rows: succeeded }));
}

/** This process's peak of resident memory; resourceUsage() would begin with that of the process that started it. */
function peakMb() {
  const [, kilobytes] = /^VmHWM:\s+(\d+)/m.exec(fs.readFileSync("/proc/self/status", "ascii"));
  return Number(kilobytes) / 1024;
}

main();
