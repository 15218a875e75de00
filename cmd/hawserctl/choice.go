package main

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
)

// choice is what of a list is wanted, and in which order.
type choice struct{ filter, sort string }

// add offers the flags --filter and --sort; keys are those of the list's filters beside created, orders what it is sorted by.
func (ch *choice) add(cmd *cobra.Command, keys, orders string) {
	f := cmd.Flags()
	f.StringVar(&ch.filter, "filter", "", "only those that this takes, in the language of 'hawserctl device search --help'; keys are\n"+keys+", created")
	f.StringVar(&ch.sort, "sort", "", "created, "+orders+"; -created and so on for the other way round")
}

func (ch *choice) parts() (filter, sort *string) { return optional(ch.filter), optional(ch.sort) }

// part is what a list is asked for: one page of what was chosen.
type part struct {
	filter, sort *string
	limit        *int
	cursor       *string
}

// chosen is a command that prints a list, of all its pages, with the flags --filter, --sort and --limit; keys and orders are those of choice.add.
func chosen(c *cli, cmd *cobra.Command, keys, orders string, columns []string,
	ask func(ctx context.Context, client *apiclient.Client, args []string, p part) (*http.Response, error)) *cobra.Command {
	var ch choice
	var most int
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		filter, sort := ch.parts()
		items, err := c.all(cmd.Context(), most, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
			return ask(ctx, client, args, part{filter, sort, limit, cursor})
		})
		if err != nil {
			return err
		}
		return c.printList(items, columns...)
	}
	ch.add(cmd, keys, orders)
	limitFlag(cmd, &most)
	return cmd
}
