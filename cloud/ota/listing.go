package ota

import (
	"context"
	"strconv"

	"github.com/hawser-iot/hawser/cloud/registry/filter/listing"
)

var listedCampaigns = listing.Table{From: `ota_campaign k JOIN ota_task t ON t.id = k.id`, ID: `k.id`, Down: true, Words: []string{"name", "version"}, By: "status",
	Fields: []listing.Field{
		{Name: "name", Kind: listing.Prefix, SQL: `t.name`, Sort: true},
		{Name: "status", Kind: listing.Choice, Values: statusNames[:], SQL: `k.status`, Sort: true, Is: statusConditions()},
		{Name: "module", Kind: listing.Filled, SQL: `t.module`, Sort: true},
		{Name: "version", Kind: listing.Filled, SQL: `t.version`, Sort: true},
		{Name: "firmware", Kind: listing.ID, SQL: `t.firmware`},
		{Name: "owner", Kind: listing.Prefix, SQL: `t.owner`},
		{Name: "targets", Kind: listing.Number, SQL: `k.total`, Sort: true},
		{Name: "created", Kind: listing.Moment, SQL: `t.created_at`},
		{Name: "started", Kind: listing.Never, SQL: `k.started_at`, Sort: true},
		{Name: "updated", Kind: listing.Moment, SQL: `k.updated_at`, Sort: true},
		{Name: "ended", Kind: listing.Never, SQL: `k.ended_at`, Sort: true},
	}}

func statusConditions() map[string]string {
	is := map[string]string{}
	for i, name := range statusNames {
		is[name] = `k.status = ` + strconv.Itoa(i)
	}
	return is
}

// SearchCampaigns returns a page of the campaigns of a product, by default the newest first.
func (o *OTA) SearchCampaigns(ctx context.Context, product string, q listing.Query) ([]*Campaign, listing.Page, error) {
	page, err := listedCampaigns.Page(ctx, o.Store, q, `k.product = ?`, product)
	if err != nil {
		return nil, page, err
	}
	in, args := listing.In(`k.id`, page.IDs)
	list, err := o.queryCampaigns(ctx, in, args...)
	return listing.Sort(page.IDs, list, func(c *Campaign) int64 { return c.ID }), page, err
}

var listedFirmwares = listing.Table{From: `firmware`, ID: `id`, Down: true, Words: []string{"version", "description"}, By: "signed", Fields: []listing.Field{
	{Name: "version", Kind: listing.Filled, SQL: `version`, Sort: true},
	{Name: "module", Kind: listing.Filled, SQL: `module`, Sort: true},
	{Name: "description", Kind: listing.Prefix, SQL: `description`},
	{Name: "signed", Kind: listing.Choice, Values: []string{"yes", "no"}, SQL: `signed`, Sort: true,
		Is: map[string]string{"yes": `signed <> 0`, "no": `signed = 0`}},
	{Name: "needs", Kind: listing.Prefix, SQL: `needs`},
	{Name: "size", Kind: listing.Number, SQL: `size`, Sort: true},
	{Name: "sha256", Kind: listing.Filled, SQL: `sha256`},
	{Name: "created", Kind: listing.Moment, SQL: `created_at`},
}}

// SearchFirmwares returns a page of the firmwares of a product, by default the newest first; module "" is any.
func (o *OTA) SearchFirmwares(ctx context.Context, product, module string, q listing.Query) ([]*Firmware, listing.Page, error) {
	page, err := listedFirmwares.Page(ctx, o.Store, q, `product = ? AND state = 1 AND (? = '' OR module = ?)`, product, module, module)
	if err != nil {
		return nil, page, err
	}
	in, args := listing.In(`id`, page.IDs)
	list, err := o.queryFirmwares(ctx, in, args...)
	return listing.Sort(page.IDs, list, func(f *Firmware) int64 { return f.ID }), page, err
}

var listedReleases = listing.Table{From: `firmware f JOIN ota_release r ON r.id = f.id`, ID: `f.id`, Down: true, Words: []string{"version", "description"}, By: "ready",
	Fields: []listing.Field{
		{Name: "version", Kind: listing.Filled, SQL: `f.version`, Sort: true},
		{Name: "module", Kind: listing.Filled, SQL: `f.module`, Sort: true},
		{Name: "description", Kind: listing.Prefix, SQL: `f.description`},
		{Name: "ready", Kind: listing.Choice, Values: []string{"yes", "no"}, SQL: `f.state`, Sort: true,
			Is: map[string]string{"yes": `f.state = 1`, "no": `f.state = 0`}},
		{Name: "sequence", Kind: listing.Number, SQL: `r.sequence`, Sort: true},
		{Name: "root", Kind: listing.Number, SQL: `r.root`, Sort: true},
		{Name: "created", Kind: listing.Moment, SQL: `f.created_at`},
	}}

// SearchReleases returns a page of the releases of a product, by default the newest first: those too that are not complete.
func (o *OTA) SearchReleases(ctx context.Context, product string, q listing.Query) ([]*Release, listing.Page, error) {
	page, err := listedReleases.Page(ctx, o.Store, q, `f.product = ? AND f.signed = 1 AND f.state < 2`, product)
	if err != nil {
		return nil, page, err
	}
	in, args := listing.In(`id`, page.IDs)
	list, err := o.releases(ctx, in, args...)
	return listing.Sort(page.IDs, list, func(r *Release) int64 { return r.ID }), page, err
}
