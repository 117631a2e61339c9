// Runs each of `checks`, prints a line per check, and ends the process: 1 where one failed.
export async function runChecks(checks) {
  let failed = 0;
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check();
      console.log('ok', name);
    } catch (error) {
      failed += 1;
      console.log(`FAIL ${name}: ${error.stack ?? error}`);
    }
  }
  process.exit(failed ? 1 : 0);
}
