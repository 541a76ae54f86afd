// Logs in, upserts three opportunities with jsforce and prints the job and its results as JSON.
// Usage: node upsert.js <jsforce directory> <org url> <client id> <client secret>
const { createRequire } = require("module");
const [, , directory, url, clientId, clientSecret] = process.argv;
const jsforce = createRequire(`${directory}/`)("jsforce");

async function main() {
  const connection = new jsforce.Connection({ instanceUrl: url, loginUrl: url, version: "66.0" });
  await connection.authorize({
    grant_type: "client_credentials",
    client_id: clientId,
    client_secret: clientSecret,
  });
  const required = { Name: 'Deal, "quoted"', StageName: "Prospecting", CloseDate: "2026-01-31" };
  const job = connection.bulk2.createJob({
    operation: "upsert",
    object: "Opportunity",
    externalIdFieldName: "External_ID__c",
  });
  await job.open();
  await job.uploadData([
    { External_ID__c: "a", ...required, Amount: 9007199254740991, Description: null },
    { External_ID__c: "b", ...required, Description: "two\nlines" },
    { External_ID__c: "c", ...required, StageName: "Nowhere" },
  ]);
  await job.close();
  await job.poll(20, 30000);
  const results = await job.getAllResults();
  console.log(JSON.stringify({ job: await job.check(), results }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
