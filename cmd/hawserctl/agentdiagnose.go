package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

// diagnosePoll is how often the hub is asked how far a bundle is.
const diagnosePoll = 500 * time.Millisecond

func newAgentDiagnose(c *cli) *cobra.Command {
	var wait, show bool
	var file string
	cmd := &cobra.Command{
		Use:   "diagnose P D",
		Short: "Have an agent make and send a bundle with what whoever helps needs",
		Long: `Have an agent make what hawser-agent diagnose makes, without secrets, and send it as a
file. An agent that is away is asked when it is back, within 30 minutes. With --wait it is
waited for, with --file it is then downloaded; --show only tells of the last request.`,
		Example: `  hawserctl agent diagnose 70ly1tvowt696r15 gateway-1 --wait --file bundle.tar.gz
  hawserctl agent diagnose 70ly1tvowt696r15 gateway-1 --show`,
		Args: exactArgs("P (productSN)", "D (deviceSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if show && (wait || file != "") || file != "" && !wait {
				return usageError{errors.New("--file needs --wait, and --show goes with neither")}
			}
			if show {
				return c.show(cmd.Context(), bundleOf(args))
			}
			return c.diagnose(cmd.Context(), args, wait, file)
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it is there")
	cmd.Flags().BoolVar(&show, "show", false, "only tell how far the last request is")
	cmd.Flags().StringVar(&file, "file", "", "download it to this file, which must be new")
	return cmd
}

// bundleOf asks for the last request.
func bundleOf(args []string) request {
	return func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.GetAgentDiagnosis(ctx, args[0], args[1])
	}
}

func (c *cli) diagnose(ctx context.Context, args []string, wait bool, file string) error {
	b, err := c.do(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.AskAgentDiagnosis(ctx, args[0], args[1])
	})
	if err != nil || b == nil {
		return err
	}
	var d apitype.AgentDiagnosis
	for wait {
		if err := json.Unmarshal(b, &d); err != nil {
			return fmt.Errorf("read the hub's answer: %w", err)
		}
		if d.State == apitype.AgentDiagnosisStateDone {
			break
		}
		if d.State == apitype.AgentDiagnosisStateFailed || d.State == apitype.AgentDiagnosisStateTimeout {
			return fmt.Errorf("%w: the bundle: %s %s", errDevice, d.State, d.Reason)
		}
		select {
		case <-time.After(diagnosePoll):
		case <-ctx.Done():
			return ctx.Err()
		}
		if b, err = c.do(ctx, bundleOf(args)); err != nil {
			return err
		}
	}
	if file != "" {
		return c.getFile(ctx, append(args, d.FileID), file)
	}
	return c.printOne(b)
}
