package actionapi

import (
	"context"
	"fmt"
	"strings"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/ota"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Products is what the API needs of the registry for products.
type Products interface {
	Product(ctx context.Context, sn string) (*registry.Product, error)
	Products(ctx context.Context, f registry.Filter, page registry.Page) ([]*registry.Product, string, error)
	CreateProduct(ctx context.Context, n registry.NewProduct) (*registry.Product, error)
	UpdateProduct(ctx context.Context, sn string, u registry.ProductUpdate) (*registry.Product, error)
	DeleteProduct(ctx context.Context, sn string, only ...registry.IfRevision) error
	Publish(ctx context.Context, sn string, n registry.Publication) (registry.Version, error)
	Unpublish(ctx context.Context, sn string, only ...registry.IfRevision) (*registry.Product, error)
	SetTopics(ctx context.Context, sn string, topics []topic.Template, only ...registry.IfRevision) (*registry.Product, error)
}

var _ Products = (*registry.Registry)(nil)

// Firmware is what the API needs of updates.
type Firmware interface {
	Firmwares(ctx context.Context, product, module string) ([]*ota.Firmware, error)
	Versions(ctx context.Context, device int64) ([]ota.ModuleVersion, error)
}

var _ Firmware = (*ota.OTA)(nil)

// product is a product as answers have it.
type product struct {
	ProductSN, ProductName, Description string
	CreateTime                          int64
	DynamicRegister, PreRegister        string
	DeviceShadow                        string
	Password                            string
	IsPublish                           bool
	NodeType                            string
	Gateway                             bool
	DeviceNumber                        int
	FirmwareNumber                      int
	ActivatedDeviceNumber               int
	OnlineDeviceNumber                  int
}

// The kinds of product: a device, a device behind a gateway, a gateway.
const (
	nodeDevice  = "device"
	nodeGateway = "gateway"
)

// kindOf is the kind that NodeType and Gateway mean.
func kindOf(c *call) (registry.Kind, error) {
	behind, err := c.flag("Gateway")
	if err != nil {
		return "", err
	}
	switch node := c.text("NodeType"); {
	case node == "" && behind, node == nodeDevice && behind:
		return registry.KindSubdevice, nil
	case node == "" || node == nodeDevice:
		return registry.KindDevice, nil
	case node == nodeGateway && !behind:
		return registry.KindGateway, nil
	case node == nodeGateway:
		return "", bad("Gateway", "a gateway is not behind a gateway")
	}
	return "", bad("NodeType", "must be device or gateway")
}

func (f *face) productOf(ctx context.Context, p *registry.Product) (product, error) {
	out := product{ProductSN: p.SN, ProductName: p.Name, Description: p.Description, CreateTime: p.Created.Unix(),
		DynamicRegister: onOff(p.DynamicRegister), PreRegister: onOff(p.PreRegister), DeviceShadow: onOff(p.Shadow), IsPublish: p.Published,
		NodeType: nodeDevice, Gateway: p.Kind == registry.KindSubdevice}
	if p.Kind == registry.KindGateway {
		out.NodeType = nodeGateway
	}
	if account.From(ctx).On(p.SN).Has(account.DeviceSecret) {
		out.Password = p.Secret.Reveal()
	}
	n, err := f.Devices.CountDevices(ctx, registry.Filter{Project: p.Project, Product: p.SN}, true)
	if err != nil {
		return out, err
	}
	out.DeviceNumber, out.OnlineDeviceNumber = n.Total, n.States[registry.Online]
	out.ActivatedDeviceNumber = n.Total - n.States[registry.Inactive]
	firmwares, err := f.Firmware.Firmwares(ctx, p.SN, "")
	out.FirmwareNumber = len(firmwares)
	return out, err
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func (f *face) createProduct(ctx context.Context, c *call) (any, error) {
	name, err := c.need("ProductName")
	if err != nil {
		return nil, err
	}
	kind, err := kindOf(c)
	if err != nil {
		return nil, err
	}
	project := account.From(ctx).Project
	if err := f.nameIsFree(ctx, project, name, ""); err != nil {
		return nil, err
	}
	p, err := f.Products.CreateProduct(ctx, registry.NewProduct{Project: project, Name: name, Description: c.text("Description"), Kind: kind})
	if err != nil {
		return nil, err
	}
	c.made = "/" + p.SN
	return struct{ ProductSN string }{p.SN}, nil
}

// nameIsFree holds that no other product of the project has that name. Two that ask at the same moment may both get it.
func (f *face) nameIsFree(ctx context.Context, project, name, but string) error {
	list, err := all(registry.MaxLimit, func(page registry.Page) ([]*registry.Product, string, error) {
		return f.Products.Products(ctx, registry.Filter{Project: project}, page)
	})
	if err != nil {
		return err
	}
	for _, p := range list {
		if p.Name == name && p.SN != but {
			return fault{codeProductName, fmt.Sprintf("ProductName: the product %s has that name", p.SN)}
		}
	}
	return nil
}

// all collects a list that comes in pages.
func all[T any](limit int, read func(registry.Page) ([]T, string, error)) (list []T, err error) {
	for page := (registry.Page{Limit: limit}); ; {
		some, next, err := read(page)
		if err != nil {
			return nil, err
		}
		if list = append(list, some...); next == "" {
			return list, nil
		}
		page.Cursor = next
	}
}

// window is the part of a list that Offset and Limit name; never nil, so that it is [] and not null.
func window[T any](list []T, offset, limit int) []T {
	from := min(offset, len(list))
	return append([]T{}, list[from:min(from+limit, len(list))]...)
}

func (f *face) getProductInfo(ctx context.Context, c *call) (any, error) {
	return f.productOf(ctx, c.product)
}

func (f *face) getProductList(ctx context.Context, c *call) (any, error) {
	offset, limit, err := c.page()
	if err != nil {
		return nil, err
	}
	p := account.From(ctx)
	list, err := all(registry.MaxLimit, func(page registry.Page) ([]*registry.Product, string, error) {
		return f.Products.Products(ctx, registry.Filter{Project: p.Within()}, page)
	})
	if err != nil {
		return nil, err
	}
	var found []*registry.Product
	for _, one := range list {
		if p.On(one.SN).Has(account.ProductRead) && strings.Contains(one.SN, c.text("ProductSN")) && strings.Contains(one.Name, c.text("ProductName")) {
			found = append(found, one)
		}
	}
	out := struct {
		TotalCount int
		ProductSet []product
	}{len(found), []product{}}
	for _, one := range window(found, offset, limit) {
		shown, err := f.productOf(ctx, one)
		if err != nil {
			return nil, err
		}
		out.ProductSet = append(out.ProductSet, shown)
	}
	return out, nil
}

func (f *face) modifyProduct(ctx context.Context, c *call) (any, error) {
	u := registry.ProductUpdate{Name: c.given("ProductName"), Description: c.given("Description")}
	if u.Name != nil {
		if err := f.nameIsFree(ctx, c.product.Project, *u.Name, c.product.SN); err != nil {
			return nil, err
		}
	}
	return f.updateProduct(ctx, c, u)
}

func (f *face) updateProduct(ctx context.Context, c *call, u registry.ProductUpdate) (any, error) {
	u.By = callerOf(ctx)
	_, err := f.Products.UpdateProduct(ctx, c.product.SN, u)
	return nothing{}, err
}

// callerOf names who makes a request, as the API does.
func callerOf(ctx context.Context) string {
	p := account.From(ctx)
	return string(p.Kind) + ":" + p.ID
}

func (f *face) deleteProduct(ctx context.Context, c *call) (any, error) {
	return nothing{}, f.Products.DeleteProduct(ctx, c.product.SN)
}

func (f *face) enableDynamicRegister(ctx context.Context, c *call) (any, error) {
	pre, err := c.onOff("PreRegister")
	if err != nil {
		return nil, err
	}
	return f.updateProduct(ctx, c, registry.ProductUpdate{DynamicRegister: new(true), PreRegister: pre})
}

func (f *face) disableDynamicRegister(ctx context.Context, c *call) (any, error) {
	return f.updateProduct(ctx, c, registry.ProductUpdate{DynamicRegister: new(false)})
}

func (f *face) publishProduct(ctx context.Context, c *call) (any, error) {
	_, err := f.Products.Publish(ctx, c.product.SN, registry.Publication{By: callerOf(ctx)})
	return nothing{}, err
}

func (f *face) unpublishProduct(ctx context.Context, c *call) (any, error) {
	_, err := f.Products.Unpublish(ctx, c.product.SN)
	return nothing{}, err
}
