package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

// newProductModel is the short form of newModel, beside the other parts of a product.
func newProductModel(c *cli) *cobra.Command {
	get, set := newModelGet(c, "product model"), newModelSet(c, "product model")
	return group("model", "A product's thing model: set, get (more in hawserctl model)", get.Example+"\n"+set.Example, get, set)
}

func setModel(product string, model json.RawMessage) request {
	return func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.SetThingModelWithBody(ctx, product, "application/json", bytes.NewReader(model))
	}
}

// showModel prints a document that no table could hold.
func (c *cli) showModel(ctx context.Context, call request) error {
	b, err := c.do(ctx, call)
	if err != nil {
		return err
	}
	if !c.raw() {
		c.output = asJSON
	}
	return c.printRaw(b)
}

func newProductTopics(c *cli) *cobra.Command {
	get := &cobra.Command{
		Use:     "get P",
		Short:   "List the custom topics",
		Example: "  hawserctl product topics get 70ly1tvowt696r15",
		Args:    exactArgs("P (productSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.showTopics(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.GetTopics(ctx, args[0])
			})
		},
	}
	set := &cobra.Command{
		Use:   "set P PATH:PERMISSION…",
		Short: "Replace the custom topics; permission is pub, sub or pubsub, as seen from the device",
		Example: `  hawserctl product topics set 70ly1tvowt696r15 upload:pub upload/event:pub set:sub
  hawserctl product topics set 70ly1tvowt696r15 upload:pub config/+:sub`,
		Args: rangeArgs(2, -1, "P (productSN)", "PATH:PERMISSION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := topicList(args[1:])
			if err != nil {
				return err
			}
			return c.showTopics(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.SetTopics(ctx, args[0], body)
			})
		},
	}
	return group("topics", "A product's custom topics: get, set", get.Example+"\n"+set.Example, get, set)
}

func topicList(args []string) (apitype.TopicList, error) {
	list := apitype.TopicList{Items: []apitype.Topic{}}
	for _, arg := range args {
		i := strings.LastIndexByte(arg, ':') // a path may hold colons itself
		if i <= 0 {
			return list, usageError{fmt.Errorf("%q is not PATH:PERMISSION", arg)}
		}
		list.Items = append(list.Items, apitype.Topic{Path: arg[:i], Permission: apitype.TopicPermission(arg[i+1:])})
	}
	return list, nil
}

func (c *cli) showTopics(ctx context.Context, call request) error {
	b, err := c.do(ctx, call)
	if err != nil {
		return err
	}
	items, err := itemsOf(b)
	if err != nil {
		return err
	}
	return c.printList(items, "path", "permission")
}

func itemsOf(b json.RawMessage) ([]json.RawMessage, error) {
	var list struct{ Items []json.RawMessage }
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("read the hub's list: %w", err)
	}
	return list.Items, nil
}
