package main

import (
	"context"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

// source is where the names of some sort of object come from: the member of the items of a list, and what is shown beside it.
type source struct {
	name, about string
	// list asks for a page, given the arguments before the one that is completed.
	list func(ctx context.Context, c *cli, client *apiclient.Client, args []string) (*http.Response, error)
}

var most = completeMost

// The sources. What needs arguments is asked only when they are there: see sourceOf.
var (
	products = &source{"productSN", "name", func(ctx context.Context, _ *cli, client *apiclient.Client, _ []string) (*http.Response, error) {
		return client.ListProducts(ctx, &apitype.ListProductsParams{Limit: &most})
	}}
	devices = &source{"deviceSN", "name", func(ctx context.Context, _ *cli, client *apiclient.Client, args []string) (*http.Response, error) {
		return client.ListDevices(ctx, args[0], &apitype.ListDevicesParams{Limit: &most})
	}}
	subdevices = &source{"deviceSN", "name", func(ctx context.Context, _ *cli, client *apiclient.Client, args []string) (*http.Response, error) {
		return client.ListDevices(ctx, args[2], &apitype.ListDevicesParams{Limit: &most})
	}}
	jobs = &source{"id", "kind", func(ctx context.Context, _ *cli, client *apiclient.Client, _ []string) (*http.Response, error) {
		return client.ListJobs(ctx, &apitype.ListJobsParams{Limit: &most})
	}}
	groups = &source{"name", "description", func(ctx context.Context, _ *cli, client *apiclient.Client, _ []string) (*http.Response, error) {
		return client.ListGroups(ctx, &apitype.ListGroupsParams{Limit: &most})
	}}
	ruleIDs = &source{"id", "name", func(ctx context.Context, _ *cli, client *apiclient.Client, _ []string) (*http.Response, error) {
		return client.ListRules(ctx, &apitype.ListRulesParams{Limit: &most})
	}}
	letterIDs = &source{"id", "ruleName", func(ctx context.Context, _ *cli, client *apiclient.Client, _ []string) (*http.Response, error) {
		return client.ListDeadLetters(ctx, &apitype.ListDeadLettersParams{Limit: &most})
	}}
	connectorIDs = &source{"id", "name", func(ctx context.Context, _ *cli, client *apiclient.Client, _ []string) (*http.Response, error) {
		return client.ListConnectors(ctx, &apitype.ListConnectorsParams{Limit: &most})
	}}
	keyIDs = &source{"id", "name", func(ctx context.Context, _ *cli, client *apiclient.Client, _ []string) (*http.Response, error) {
		return client.ListAPIKeys(ctx, &apitype.ListAPIKeysParams{Limit: &most})
	}}
	projects = &source{"id", "name", func(ctx context.Context, _ *cli, client *apiclient.Client, _ []string) (*http.Response, error) {
		return client.ListProjects(ctx)
	}}
	users = &source{"login", "name", func(ctx context.Context, _ *cli, client *apiclient.Client, _ []string) (*http.Response, error) {
		return client.ListUsers(ctx, &apitype.ListUsersParams{Limit: &most})
	}}
	members = &source{"login", "role", func(ctx context.Context, c *cli, client *apiclient.Client, _ []string) (*http.Response, error) {
		return client.ListMembers(ctx, c.memberProject(), &apitype.ListMembersParams{Limit: &most})
	}}
	sessions = &source{"id", "seenAt", func(ctx context.Context, _ *cli, client *apiclient.Client, args []string) (*http.Response, error) {
		return client.ListSessions(ctx, args[0], &apitype.ListSessionsParams{Limit: &most})
	}}
	mySessions = &source{"id", "seenAt", func(ctx context.Context, _ *cli, client *apiclient.Client, _ []string) (*http.Response, error) {
		return client.ListMySessions(ctx, &apitype.ListMySessionsParams{Limit: &most})
	}}
	caIDs = &source{"id", "subject", func(ctx context.Context, _ *cli, client *apiclient.Client, args []string) (*http.Response, error) {
		return client.ListProductCAs(ctx, args[0])
	}}
	ownCAs = &source{"id", "status", func(ctx context.Context, _ *cli, client *apiclient.Client, _ []string) (*http.Response, error) {
		return client.ListCAs(ctx, &apitype.ListCAsParams{Limit: &most})
	}}
	certificates = &source{"serial", "expiresAt", func(ctx context.Context, _ *cli, client *apiclient.Client, args []string) (*http.Response, error) {
		return client.ListDeviceCertificates(ctx, args[0], args[1], &apitype.ListDeviceCertificatesParams{Limit: &most})
	}}
	versions = &source{"number", "note", func(ctx context.Context, _ *cli, client *apiclient.Client, args []string) (*http.Response, error) {
		return client.ListModelVersions(ctx, args[0], &apitype.ListModelVersionsParams{Limit: &most})
	}}
	commands = &source{"requestID", "identifier", func(ctx context.Context, _ *cli, client *apiclient.Client, args []string) (*http.Response, error) {
		return client.ListCommands(ctx, args[0], args[1], &apitype.ListCommandsParams{Limit: &most})
	}}
	alarmIDs = &source{"id", "text", func(ctx context.Context, _ *cli, client *apiclient.Client, _ []string) (*http.Response, error) {
		return client.ListAlarms(ctx, &apitype.ListAlarmsParams{Limit: &most})
	}}
	alarmRuleIDs = &source{"id", "name", func(ctx context.Context, _ *cli, client *apiclient.Client, _ []string) (*http.Response, error) {
		return client.ListAlarmRules(ctx, &apitype.ListAlarmRulesParams{Limit: &most})
	}}
	alarmChannelIDs = &source{"id", "name", func(ctx context.Context, _ *cli, client *apiclient.Client, _ []string) (*http.Response, error) {
		return client.ListAlarmChannels(ctx, &apitype.ListAlarmChannelsParams{Limit: &most})
	}}
	metrics = &source{"name", "description", func(ctx context.Context, _ *cli, client *apiclient.Client, _ []string) (*http.Response, error) {
		return client.ListMetrics(ctx)
	}}
	contexts = &source{} // they are in a file here
)

// What devices send and are sent.
var (
	files = &source{"fileID", "name", func(ctx context.Context, _ *cli, client *apiclient.Client, args []string) (*http.Response, error) {
		return client.ListFiles(ctx, args[0], args[1], &apitype.ListFilesParams{Limit: &most})
	}}
	uploads = &source{"uploadID", "name", func(ctx context.Context, _ *cli, client *apiclient.Client, args []string) (*http.Response, error) {
		return client.ListUploads(ctx, args[0], &apitype.ListUploadsParams{Device: &args[1], Limit: &most})
	}}
	firmwares = &source{"firmwareID", "version", func(ctx context.Context, _ *cli, client *apiclient.Client, args []string) (*http.Response, error) {
		return client.ListFirmwares(ctx, args[0], &apitype.ListFirmwaresParams{})
	}}
	releases = &source{"releaseID", "version", func(ctx context.Context, _ *cli, client *apiclient.Client, args []string) (*http.Response, error) {
		return client.ListReleases(ctx, args[0], &apitype.ListReleasesParams{})
	}}
	directors = &source{"keyID", "createdAt", func(ctx context.Context, _ *cli, client *apiclient.Client, _ []string) (*http.Response, error) {
		return client.ListDirectors(ctx)
	}}
	tasks = &source{"taskID", "version", func(ctx context.Context, _ *cli, client *apiclient.Client, args []string) (*http.Response, error) {
		return client.ListOTATasks(ctx, args[0], &apitype.ListOTATasksParams{Limit: &most})
	}}
	campaigns = &source{"campaignID", "version", func(ctx context.Context, _ *cli, client *apiclient.Client, args []string) (*http.Response, error) {
		return client.ListCampaigns(ctx, args[0], &apitype.ListCampaignsParams{Limit: &most})
	}}
)

// sourceOf is where the argument of cmd comes from that its Use calls token; nil when there is nothing to choose from.
func sourceOf(cmd *cobra.Command, token string) *source {
	of := cmd.Parent().Name()
	switch bare(token) {
	case "P", "PRODUCT", "SUB-P":
		return products
	case "SUB-D", "SUB-D…":
		return subdevices
	case "D", "D…", "DEVICE":
		return devices
	case "METRIC":
		return metrics
	case "JOB":
		return jobs
	case "FILEID":
		return files
	case "UPLOADID":
		return uploads
	case "FIRMWARE":
		return firmwares
	case "TASK":
		return tasks
	case "RELEASE":
		return releases
	case "KEYID":
		return directors
	case "CAMPAIGN":
		return campaigns
	case "PROJECT":
		return unless(cmd.Name() == "create", projects)
	case "USER":
		if of == "member" && cmd.Name() != "add" {
			return members
		}
		return users
	case "SESSION":
		if cmd.Parent().Parent().Name() == "me" {
			return mySessions
		}
		return sessions
	case "FROM", "TO", "VERSION":
		return versions
	case "REQUEST":
		return commands
	case "SERIAL":
		return unless(of != "cert", certificates) // those of another CA are not known
	case "ID":
		if of == "ca" && (cmd.Name() == "show" || cmd.Name() == "retire") {
			return ownCAs
		}
		return map[string]*source{"rule": ruleIDs, "dead": letterIDs, "connector": connectorIDs, "key": keyIDs, "ca": caIDs,
			"alarm": alarmIDs, "alarm-rule": alarmRuleIDs, "alarm-channel": alarmChannelIDs}[of]
	case "NAME":
		return unless(cmd.Name() == "create" || of == "context" && cmd.Name() == "add", map[string]*source{"group": groups, "context": contexts}[of])
	}
	return nil
}

// bare is a word of a Use without what says that it may be left out.
func bare(token string) string { return strings.Trim(token, "[]") }

// unless is s, or nil if not.
func unless(not bool, s *source) *source {
	if not {
		return nil
	}
	return s
}
