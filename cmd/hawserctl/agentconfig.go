package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/firmware/signing"
)

func newAgent(c *cli) *cobra.Command {
	return group("agent", "Agents on gateways: list, get, config, diagnose", `  hawserctl agent list 70ly1tvowt696r15
  hawserctl agent config set 70ly1tvowt696r15 gateway-1 --file agent.yaml
  hawserctl agent config status 70ly1tvowt696r15 gateway-1
  hawserctl agent diagnose 70ly1tvowt696r15 gateway-1 --wait --file bundle.tar.gz`,
		newAgentList(c), newAgentGet(c, "get P D", "agent get"), newAgentConfig(c), newAgentDiagnose(c))
}

func newAgentList(c *cli) *cobra.Command {
	return listing(c, "list P", "List what the agents on a product's devices have told of themselves", "hawserctl agent list 70ly1tvowt696r15",
		[]string{"deviceSN", "version", "variant", "seenAt", "records", "lost", "uploads", "config", "configState"},
		func(ctx context.Context, client *apiclient.Client, args []string) (*http.Response, error) {
			limit := 1000
			return client.ListAgents(ctx, args[0], &apitype.ListAgentsParams{Limit: &limit})
		})
}

func newAgentConfig(c *cli) *cobra.Command {
	return group("config", "What agents are to work with: set, get, delete, history, rollback, status, key", `  hawserctl agent config set 70ly1tvowt696r15 gateway-1 --file agent.yaml --note 'more memory'
  hawserctl agent config set --group east --file east.yaml
  hawserctl agent config status 70ly1tvowt696r15 gateway-1
  hawserctl agent config rollback 70ly1tvowt696r15 gateway-1 --to 3`,
		newAgentConfigSet(c), newAgentConfigGet(c), newAgentConfigDelete(c), newAgentConfigHistory(c), newAgentConfigRollback(c), newAgentConfigStatus(c), newAgentConfigKey(c))
}

// target is what a configuration is for: a product, a device of it, or a group.
type target struct {
	product, device, group string
}

// targeted is a command with a target: P, P D or --group G.
func targeted(use, short, long, example string, run func(ctx context.Context, t target) error) *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:     use + " [P] [D]",
		Short:   short,
		Long:    short + ", for a device, a product's devices (without D) or a group's members (--group).\n" + long,
		Example: example,
		Args:    rangeArgs(0, 2, "P (productSN)", "D (deviceSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 0) == (t.group == "") {
				return usageError{errors.New("name a product, a product and a device, or --group")}
			}
			args = append(args, "", "")
			t.product, t.device = args[0], args[1]
			return run(cmd.Context(), t)
		},
	}
	cmd.Flags().StringVar(&t.group, "group", "", "a group of members instead")
	return cmd
}

func newAgentConfigSet(c *cli) *cobra.Command {
	var file, note string
	cmd := targeted("set", "Set what agents are to work with", `
The document is YAML as in docs/agent-config.md. The agent judges it, takes it on trial,
and goes back by itself when it does not bring it back to the hub: see status. With
--if-match REVISION it is set only if nobody else has changed it.`,
		`  hawserctl agent config set 70ly1tvowt696r15 gateway-1 --file agent.yaml --note 'more memory'
  hawserctl agent config set 70ly1tvowt696r15 --file all.yaml
  hawserctl agent config set --group east --file east.yaml --if-match 3`,
		func(ctx context.Context, t target) error {
			if file == "" {
				return usageError{errors.New("--file is missing")}
			}
			b, err := c.readFile(file)
			if err != nil {
				return err
			}
			return c.setAgentConfig(ctx, t, apitype.AgentConfigChange{Document: string(b), Note: note})
		})
	cmd.Flags().StringVar(&file, "file", "", "the document, - for standard input")
	cmd.Flags().StringVar(&note, "note", "", "what the version is about")
	return cmd
}

func newAgentConfigRollback(c *cli) *cobra.Command {
	var to int64
	var note string
	cmd := targeted("rollback", "Make an earlier version a new one", "Without --to it is the one before the present one. Secrets come back with it.",
		`  hawserctl agent config rollback 70ly1tvowt696r15 gateway-1
  hawserctl agent config rollback 70ly1tvowt696r15 gateway-1 --to 3 --note 'as in spring'`,
		func(ctx context.Context, t target) error {
			if to == 0 {
				v, err := c.agentConfig(ctx, t, 0)
				if err != nil {
					return err
				}
				if to = v.Revision - 1; to == 0 {
					return errors.New("there is no version before this one")
				}
			}
			return c.setAgentConfig(ctx, t, apitype.AgentConfigChange{Restore: to, Note: note})
		})
	cmd.Flags().Int64Var(&to, "to", 0, "the `revision` to go back to")
	cmd.Flags().StringVar(&note, "note", "", "what the version is about")
	return cmd
}

func (c *cli) setAgentConfig(ctx context.Context, t target, change apitype.AgentConfigChange) error {
	b, err := c.do(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		switch {
		case t.group != "":
			return client.SetGroupAgentConfig(ctx, t.group, change)
		case t.device != "":
			return client.SetDeviceAgentConfig(ctx, t.product, t.device, change)
		}
		return client.SetProductAgentConfig(ctx, t.product, change)
	})
	if err != nil || b == nil {
		return err
	}
	var v apitype.AgentConfig
	if err := json.Unmarshal(b, &v); err != nil {
		return fmt.Errorf("read the hub's answer: %w", err)
	}
	v.Document = "" // the caller has it
	if b, err = json.Marshal(v); err != nil {
		return err
	}
	return c.printOne(b)
}

func (c *cli) askAgentConfig(ctx context.Context, t target, revision int64) (json.RawMessage, error) {
	var want *int64
	if revision > 0 {
		want = &revision
	}
	return c.do(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		switch {
		case t.group != "":
			return client.GetGroupAgentConfig(ctx, t.group, &apitype.GetGroupAgentConfigParams{Revision: want})
		case t.device != "":
			return client.GetDeviceAgentConfig(ctx, t.product, t.device, &apitype.GetDeviceAgentConfigParams{Revision: want})
		}
		return client.GetProductAgentConfig(ctx, t.product, &apitype.GetProductAgentConfigParams{Revision: want})
	})
}

func (c *cli) agentConfig(ctx context.Context, t target, revision int64) (v apitype.AgentConfig, err error) {
	b, err := c.askAgentConfig(ctx, t, revision)
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	return v, err
}

func newAgentConfigGet(c *cli) *cobra.Command {
	var revision int64
	cmd := targeted("get", "Print what agents are to work with", "Secrets are masked. With -o json or yaml all that is known of the version.",
		`  hawserctl agent config get 70ly1tvowt696r15 gateway-1
  hawserctl agent config get 70ly1tvowt696r15 --revision 2 -o json`,
		func(ctx context.Context, t target) error {
			b, err := c.askAgentConfig(ctx, t, revision)
			if err != nil {
				return err
			}
			if c.raw() {
				return c.printRaw(b)
			}
			var v apitype.AgentConfig
			if err := json.Unmarshal(b, &v); err != nil {
				return fmt.Errorf("read the hub's answer: %w", err)
			}
			_, err = fmt.Fprintln(c.out, strings.TrimSuffix(v.Document, "\n"))
			return err
		})
	cmd.Flags().Int64Var(&revision, "revision", 0, "an earlier version")
	return cmd
}

func newAgentConfigDelete(c *cli) *cobra.Command {
	return targeted("delete", "Take a configuration away; its versions are kept", "Agents go on with what they have, until there is another one for them.",
		"  hawserctl agent config delete 70ly1tvowt696r15 gateway-1",
		func(ctx context.Context, t target) error {
			return c.show(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				switch {
				case t.group != "":
					return client.DeleteGroupAgentConfig(ctx, t.group)
				case t.device != "":
					return client.DeleteDeviceAgentConfig(ctx, t.product, t.device)
				}
				return client.DeleteProductAgentConfig(ctx, t.product)
			})
		})
}

func newAgentConfigHistory(c *cli) *cobra.Command {
	return targeted("history", "List the last versions, newest first", "One that is gone says that the configuration was taken away.",
		"  hawserctl agent config history 70ly1tvowt696r15 gateway-1",
		func(ctx context.Context, t target) error {
			b, err := c.do(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				switch {
				case t.group != "":
					return client.ListGroupAgentConfigVersions(ctx, t.group)
				case t.device != "":
					return client.ListDeviceAgentConfigVersions(ctx, t.product, t.device)
				}
				return client.ListProductAgentConfigVersions(ctx, t.product)
			})
			if err != nil {
				return err
			}
			items, err := itemsOf(b)
			if err != nil {
				return err
			}
			return c.printList(items, "revision", "version", "gone", "changedAt", "changedBy", "note")
		})
}

func newAgentConfigStatus(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "status P D",
		Short: "What a device's agent has made of its configuration",
		Long: `What a device's agent has made of its configuration: the version that it should have
(wanted), that it has (running), and what became of the last one that it was offered:
offered (not answered yet), trial, applied, back (it went back by itself), refused.`,
		Example: "  hawserctl agent config status 70ly1tvowt696r15 gateway-1",
		Args:    exactArgs("P (productSN)", "D (deviceSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.GetAgent(ctx, args[0], args[1])
			})
			if err != nil {
				return err
			}
			var a struct{ Config json.RawMessage }
			if err := json.Unmarshal(b, &a); err != nil {
				return fmt.Errorf("read the hub's answer: %w", err)
			}
			if a.Config == nil {
				a.Config = json.RawMessage("{}")
			}
			return c.printOne(a.Config)
		},
	}
}

func newAgentConfigKey(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "key",
		Short: "Print the keys that the hub signs configurations with, for remote_config in an agent's file",
		Long: `Print the public keys that the hub signs configurations with, one a line, as they stand
under remote_config.keys in an agent's file. They are the hub's director keys that are not
retired; the oldest of them signs. See firmware director.`,
		Example: "  hawserctl agent config key",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			keys, err := c.configKeys(cmd.Context())
			for _, key := range keys {
				fmt.Fprintln(c.out, key)
			}
			return err
		},
	}
}

// configKeys are the public keys that the hub signs configurations with, in hex.
func (c *cli) configKeys(ctx context.Context) (keys []string, err error) {
	if _, err := c.do(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.GetDirector(ctx) // there is a first one
	}); err != nil {
		return nil, err
	}
	b, err := c.do(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.ListDirectors(ctx)
	})
	if err != nil {
		return nil, err
	}
	var list apitype.DirectorList
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("read the hub's answer: %w", err)
	}
	for _, d := range list.Items {
		if !d.RetiredAt.IsZero() {
			continue
		}
		key, err := signing.ParsePublicKey([]byte(d.PublicKey))
		if err != nil {
			return nil, fmt.Errorf("read the hub's answer: %w", err)
		}
		keys = append(keys, hex.EncodeToString(key[:]))
	}
	return keys, nil
}
