package actionapi

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// deviceSlot stands for the DeviceSN in a topic of all devices of a product.
const deviceSlot = "${DeviceSN}"

// pathOf takes /PRODUCT/${DeviceSN}/path, and returns the path.
func pathOf(c *call, name string) (string, error) {
	text, err := c.need(name)
	if err != nil {
		return "", err
	}
	path, ok := strings.CutPrefix(text, "/"+c.product.SN+"/"+deviceSlot+"/")
	if !ok || path == "" {
		return "", bad(name, "must be like /%s/%s/upload", c.product.SN, deviceSlot)
	}
	return path, nil
}

// directionOf reads a permission; fallback is for an absent one.
func directionOf(c *call, name string, fallback topic.Direction) (topic.Direction, error) {
	text := c.text(name)
	if text == "" {
		return fallback, nil
	}
	d, ok := topic.ParseDirection(text)
	if !ok || d == topic.RuleOnly {
		return 0, bad(name, "must be pub, sub or pubsub")
	}
	return d, nil
}

// changeTopics changes the custom topics of a product, again when somebody else was faster.
func (f *face) changeTopics(ctx context.Context, c *call, change func(list []topic.Template) ([]topic.Template, error)) (any, error) {
	for range 5 {
		p, err := f.Products.Product(ctx, c.product.SN)
		if err != nil {
			return nil, err
		}
		list, err := change(slices.Clone(p.Topics))
		if err != nil {
			return nil, err
		}
		if _, err = f.Products.SetTopics(ctx, p.SN, list, registry.IfRevision(p.Revision)); !errors.Is(err, registry.ErrRevision) {
			return nothing{}, err
		}
	}
	return nil, registry.ErrRevision
}

// indexOf finds a topic by its path, -1 for none.
func indexOf(list []topic.Template, path string) int {
	return slices.IndexFunc(list, func(t topic.Template) bool { return t.Path == path })
}

func (f *face) createTopic(ctx context.Context, c *call) (any, error) {
	path, err := pathOf(c, "Topic")
	if err != nil {
		return nil, err
	}
	perm, err := directionOf(c, "Permission", topic.Sub)
	if err != nil {
		return nil, err
	}
	return f.changeTopics(ctx, c, func(list []topic.Template) ([]topic.Template, error) {
		switch {
		case indexOf(list, path) >= 0:
			return nil, fault{codeTopicExists, "Topic: the product has it already"}
		case len(list) >= registry.MaxTopics:
			return nil, fault{codeTopics, "the product has as many topics as it may"}
		}
		return append(list, topic.Template{Path: path, Perm: perm, Description: c.text("Description")}), nil
	})
}

func (f *face) modifyTopic(ctx context.Context, c *call) (any, error) {
	path, err := pathOf(c, "Topic")
	if err != nil {
		return nil, err
	}
	to := path
	if c.text("NewTopic") != "" {
		if to, err = pathOf(c, "NewTopic"); err != nil {
			return nil, err
		}
	}
	perm, err := directionOf(c, "NewPermission", topic.RuleOnly)
	if err != nil {
		return nil, err
	}
	return f.changeTopics(ctx, c, func(list []topic.Template) ([]topic.Template, error) {
		i := indexOf(list, path)
		switch {
		case i < 0:
			return nil, errNoTopic
		case to != path && indexOf(list, to) >= 0:
			return nil, fault{codeTopicExists, "NewTopic: the product has it already"}
		}
		list[i].Path = to
		if perm != topic.RuleOnly {
			list[i].Perm = perm
		}
		if d := c.given("NewDescription"); d != nil {
			list[i].Description = *d
		}
		return list, nil
	})
}

var errNoTopic = fault{codeNoTopic, "Topic: the product does not have it"}

func (f *face) deleteTopic(ctx context.Context, c *call) (any, error) {
	path, err := pathOf(c, "Topic")
	if err != nil {
		return nil, err
	}
	return f.changeTopics(ctx, c, func(list []topic.Template) ([]topic.Template, error) {
		i := indexOf(list, path)
		if i < 0 {
			return nil, errNoTopic
		}
		return slices.Delete(list, i, i+1), nil
	})
}

// listedTopic is a topic as answers have it.
type listedTopic struct {
	Topic, Permission, Description, Type, RuleEnginePermission string
}

// noDirection is the permission of those who have none.
const noDirection = "-"

// systemTopics are those that devices of a product have, and rules.
func systemTopics(p *registry.Product) []listedTopic {
	var list []listedTopic
	for k := range topic.Kinds {
		if k.GatewayOnly() && p.Kind != registry.KindGateway {
			continue
		}
		t := listedTopic{Topic: "/$system/" + p.SN + "/" + deviceSlot + "/" + k.String(), Permission: k.Direction().String(), Type: "sys", RuleEnginePermission: noDirection}
		switch k {
		case topic.Password, topic.AgentUp: // a secret, and what only the hub reads
		case topic.CommandReply:
			t.Topic, t.RuleEnginePermission = t.Topic+"/+", topic.Sub.String()
		case topic.DeviceStatus:
			t.RuleEnginePermission = topic.Sub.String()
		default:
			if k.Direction() != topic.Sub { // what the hub sends is not matched by rules
				t.RuleEnginePermission = topic.Sub.String()
			}
		}
		if k.Direction() == topic.RuleOnly {
			t.Permission = noDirection
		}
		list = append(list, t)
	}
	return list
}

func (f *face) getTopicList(_ context.Context, c *call) (any, error) {
	offset, limit, err := c.page()
	if err != nil {
		return nil, err
	}
	list := systemTopics(c.product)
	for _, t := range c.product.Topics {
		list = append(list, listedTopic{Topic: "/" + c.product.SN + "/" + deviceSlot + "/" + t.Path, Permission: t.Perm.String(), Description: t.Description,
			Type: "user", RuleEnginePermission: topic.PubSub.String()})
	}
	return struct {
		TotalCount int
		TopicSet   []listedTopic
	}{len(list), window(list, offset, limit)}, nil
}
