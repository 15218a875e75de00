package actionapi

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"strings"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/connector"
)

// Connectors is what the API needs of the addresses that rules deliver to.
type Connectors interface {
	List(ctx context.Context, project string, after int64, limit int) ([]*connector.Connector, error)
	Get(ctx context.Context, id int64) (*connector.Connector, error)
	Create(ctx context.Context, n connector.NewConnector) (*connector.Connector, error)
	Delete(ctx context.Context, id int64) error
}

var _ Connectors = (*connector.Connectors)(nil)

// ownPrefix begins the names of connectors that were made for one action; they go with it.
const ownPrefix = "action-"

// target is the connector of an action: that which the ResourceID names, or one of its own, made of the address in the Configuration. "" is
// none, for a kind that needs none. made tells whether it is new.
func (f *face) target(ctx context.Context, k kind, c config) (id string, made bool, err error) {
	if k.own == nil {
		return "", false, nil
	}
	project := account.From(ctx).Project
	if name := c.text("ResourceID"); name != "" {
		one, err := f.named(ctx, project, k.name, name)
		if one != nil || err != nil {
			return idOf(one), false, err
		}
	}
	if k.alone && (c.host() != "" || c.text("URL") != "") {
		return "", false, nil
	}
	address := k.own(c)
	if address == nil {
		return "", false, incomplete("there is no connector " + cut(c.text("ResourceID")) + " of the kind " + k.name +
			"; make one of that name with its address and credentials (hawserctl connector create), or give the address here")
	}
	one, err := f.Connectors.Create(ctx, connector.NewConnector{Project: project, Name: ownPrefix + strings.ToLower(rand.Text()[:12]),
		Description: "made for a rule over the Action API", Kind: k.name, Config: encode(address)})
	return idOf(one), err == nil, err
}

func idOf(c *connector.Connector) string {
	if c == nil {
		return ""
	}
	return strconv.FormatInt(c.ID, 10)
}

// named finds a connector of a project by its name; nil for none.
func (f *face) named(ctx context.Context, project, kind, name string) (*connector.Connector, error) {
	for after := int64(0); ; {
		list, err := f.Connectors.List(ctx, project, after, registry.MaxLimit)
		if err != nil {
			return nil, err
		}
		for _, one := range list {
			if one.Name == name && one.Kind == kind {
				return one, nil
			}
		}
		if len(list) < registry.MaxLimit {
			return nil, nil
		}
		after = list[len(list)-1].ID
	}
}

// connectorOf is the connector of an action, nil for none.
func (f *face) connectorOf(ctx context.Context, a rules.Action) (*connector.Connector, error) {
	id, err := strconv.ParseInt(ours(a.Config).text("connector"), 10, 64)
	if err != nil {
		return nil, nil
	}
	one, err := f.Connectors.Get(ctx, id)
	if errors.Is(err, connector.ErrNotFound) {
		return nil, nil
	}
	return one, err
}

// drop deletes the connector that was made for an action which is gone; one that others use, or that an operator made, stays.
func (f *face) drop(ctx context.Context, a rules.Action) {
	one, err := f.connectorOf(ctx, a)
	if err == nil && one != nil && strings.HasPrefix(one.Name, ownPrefix) {
		err = f.Connectors.Delete(context.WithoutCancel(ctx), one.ID)
	}
	if err != nil && !errors.Is(err, connector.ErrInUse) && !errors.Is(err, connector.ErrNotFound) {
		f.log.Warn("connector of an action that is gone not deleted", "err", err)
	}
}

// configurationOf is an action's Configuration, without passwords.
func (f *face) configurationOf(ctx context.Context, k kind, a rules.Action) (map[string]any, error) {
	out := k.out(a.Config)
	one, err := f.connectorOf(ctx, a)
	if err != nil || one == nil {
		return out, err
	}
	if !strings.HasPrefix(one.Name, ownPrefix) {
		out["ResourceID"], out["ResourceName"] = one.Name, one.Name
		return out, nil
	}
	shown := ours(one.Config)
	for from, to := range map[string]string{"host": "Host", "port": "Port", "database": "Database", "user": "Username", "url": "URL", "brokers": "Brokers", "hosts": "Hosts"} {
		if v, ok := shown[from]; ok {
			out[to] = v
		}
	}
	return out, nil
}
