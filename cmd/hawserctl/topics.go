package main

import "github.com/spf13/cobra"

// topics are pages of help that belong to no command.
func topics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "exit-codes", Short: "What the exit codes mean", Long: exitHelp},
		{Use: "environment", Short: "Environment variables", Long: environmentHelp},
		{Use: "output", Short: "Tables, JSON, YAML and CSV", Long: outputHelp},
		{Use: "changes", Short: "Dry runs, conditions and repeating a change", Long: changesHelp},
		{Use: "jobs", Short: "Long work: imports and bulk actions", Long: jobsHelp},
	}
}

const environmentHelp = `Environment variables, each with the flag that wins over it:

  HAWSER_HUB      --hub      base URL of the hub
  HAWSER_API_KEY  --api-key  API key
  HAWSER_CA       --ca       PEM file of the CA that signed the hub's certificate
  HAWSER_PROJECT  --project  project to work in
  HAWSER_CONTEXT  --context  context to take all that from

HAWSER_KEY_PASSPHRASE is the passphrase of the key files of hawserctl firmware keygen,
for programs; people are asked for it.

HAWSERCTL_CONFIG is the file of the contexts; without it, hawser/config.yaml in
your folder for such. BROWSER is started by hawserctl login --oidc.`

const outputHelp = `-o says how things are printed:

  table  what is asked for most; lists are cut to the terminal's width with …,
         never when the output goes to a file or another program
  wide   a table of everything, as wide as it is
  json   the API's own objects: one, or an array for lists and for device create --count
  yaml   the same as YAML
  csv    a heading and a line an object, everything unless --columns says what

--columns a,b.c chooses the members of a table or CSV; b.c is the member c of b.
--no-headers leaves the heading out. Lists are whole: pages are fetched as needed,
--limit ends a list early.

  hawserctl device list P --columns deviceSN,state --no-headers
  hawserctl rule list -o csv > rules.csv
  hawserctl device get P D -o json | jq -r .deviceSecret`

const changesHelp = `Everything that changes something takes these flags.

--dry-run changes nothing. device import and device bulk have the hub check every
row; all others print the request that would be sent.

--if-match REVISION changes only what still has that revision, as a get shows it.
When somebody else was faster the exit code is 6 and nothing was changed: get it
again, look at what they did, and repeat with the new revision.

--idempotency-key NAME gives the change a name of your own (1 to 255 characters).
When the answer was lost, send the same command with the same name again: the hub
repeats its answer of the first time, for 24 hours, and changes nothing twice.

  hawserctl device update P D --name hall --dry-run
  hawserctl rule disable 4 --if-match 7
  hawserctl device create --product P --idempotency-key order-4711`

const jobsHelp = `device import, device bulk and command batch are jobs: the hub works on them in
steps, a restart does not make it begin again, and no row is done twice. The
command shows the progress until the job ends; Ctrl-C leaves the job running,
--no-wait does not wait at all. Later:

  hawserctl job list
  hawserctl job watch JOB
  hawserctl job result JOB > result.csv
  hawserctl job cancel JOB

The result is CSV with a line for each row: ok or the class of the error, the line
in the file, the deviceSN, the secret, and the reason. Secrets are there only for
those who may see them. The exit code is 8 when some rows failed.`
