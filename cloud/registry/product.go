package registry

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/thing"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Kind says how the devices of a product come to the hub.
type Kind string

// The kinds of product.
const (
	KindDevice    Kind = "device"    // connects itself
	KindGateway   Kind = "gateway"   // connects itself and carries sub-devices
	KindSubdevice Kind = "subdevice" // only behind a gateway
)

// kinds is how a Kind is stored: its index.
var kinds = [...]Kind{KindDevice, KindGateway, KindSubdevice}

// Valid tells whether k is one of the kinds.
func (k Kind) Valid() bool { return slices.Contains(kinds[:], k) }

func (k Kind) number() int64 { return int64(slices.Index(kinds[:], k)) }

// Product is an immutable snapshot: nobody may change what it points to.
type Product struct {
	SN                string
	Project           string // whose it is
	Revision          int64  // rises with every change
	Secret            credential.Secret
	Name, Description string
	Kind              Kind
	DynamicRegister   bool // devices may ask for their secret with the ProductSecret
	PreRegister       bool // … only those that exist already
	Shadow            bool // devices have shadows
	Published         bool // the thing model is frozen
	Settings          Settings
	Created, Updated  time.Time
	Topics            []topic.Template
	Rules             *topic.Rules    // compiled Topics; nil in a list of products
	Model             *thing.Model    // compiled Template; nil without one
	Template          *thing.Template // nil without one
}

// NewProduct is what CreateProduct needs.
type NewProduct struct {
	Project                      string // "" is DefaultProject
	Name, Description            string
	Kind                         Kind // "" is KindDevice
	DynamicRegister, PreRegister bool
	Settings                     Settings
	NoShadow                     bool             // shadows are on unless switched off
	Topics                       []topic.Template // nil: topic.DefaultTemplates
	Template                     *thing.Template  // optional
}

// ProductUpdate changes the fields that are not nil.
type ProductUpdate struct {
	Name, Description                               *string
	DynamicRegister, PreRegister, Shadow, Published *bool
	Settings                                        *Settings // replaces all of them
	By                                              string    // who does it, for the version that publishing makes
	// IfRevision, when not nil, must be the product's revision, else the answer is ErrRevision.
	IfRevision *int64
}

const productColumns = `sn, secret, name, description, kind, dynamic_register, pre_register, shadow, template, published, created_at, updated_at,
	project, revision, settings`

// Product returns the product with that SN, from memory when it is there.
func (r *Registry) Product(ctx context.Context, sn string) (*Product, error) {
	if p, ok := r.products.Get(sn); ok {
		return p, nil
	}
	ticket := r.products.Ticket(sn)
	p, err := r.readProduct(ctx, sn)
	if err != nil {
		return nil, err
	}
	r.products.Fill(sn, ticket, p)
	return p, nil
}

func (r *Registry) readProduct(ctx context.Context, sn string) (*Product, error) {
	p, err := r.scanProduct(r.db.QueryRow(ctx, `SELECT `+productColumns+` FROM product WHERE sn = ?`, sn))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrProductNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("registry: read product %s: %w", sn, err)
	}
	rows, err := r.db.Query(ctx, `SELECT product, path, perm, description FROM product_topic WHERE product = ? ORDER BY path`, sn)
	if err != nil {
		return nil, fmt.Errorf("registry: read topics of product %s: %w", sn, err)
	}
	topics, err := scanTopics(rows)
	if err != nil {
		return nil, fmt.Errorf("registry: read topics of product %s: %w", sn, err)
	}
	p.Topics = topics[sn]
	p.Rules = topic.CompileRules(p.Topics, topic.Scope{Gateway: p.Kind == KindGateway})
	return p, nil
}

// scanner is a row of either engine.
type scanner interface{ Scan(dest ...any) error }

func (r *Registry) scanProduct(row scanner) (*Product, error) {
	var (
		p                                 Product
		sealed                            []byte
		template, settings                string
		kind, dynamic, pre, shadow, publd int64
		created, updated                  int64
	)
	err := row.Scan(&p.SN, &sealed, &p.Name, &p.Description, &kind, &dynamic, &pre, &shadow, &template, &publd, &created, &updated,
		&p.Project, &p.Revision, &settings)
	if err != nil {
		return nil, err
	}
	if kind < 0 || kind >= int64(len(kinds)) {
		return nil, fmt.Errorf("stored kind %d is unknown", kind)
	}
	secret, err := r.db.Unseal(store.ProductSecret, p.SN, sealed)
	if err != nil {
		return nil, err
	}
	p.Secret, p.Kind = credential.Secret(secret), kinds[kind]
	p.DynamicRegister, p.PreRegister, p.Shadow, p.Published = dynamic != 0, pre != 0, shadow != 0, publd != 0
	p.Created, p.Updated = fromMillis(created), fromMillis(updated)
	if p.Settings, err = decodeSettings(settings); err != nil {
		return nil, fmt.Errorf("stored settings: %w", err)
	}
	if template == "" {
		return &p, nil
	}
	if p.Template, err = thing.ParseTemplate([]byte(template)); err != nil {
		return nil, fmt.Errorf("stored thing model: %w", err)
	}
	if p.Model, err = thing.Compile(p.Template); err != nil {
		return nil, fmt.Errorf("stored thing model: %w", err)
	}
	return &p, nil
}

func scanTopics(rows *store.Rows) (map[string][]topic.Template, error) {
	defer func() { _ = rows.Close() }() // Err below tells
	topics := make(map[string][]topic.Template)
	for rows.Next() {
		var (
			sn, path, description string
			perm                  int64
		)
		if err := rows.Scan(&sn, &path, &perm, &description); err != nil {
			return nil, err
		}
		topics[sn] = append(topics[sn], topic.Template{Path: path, Perm: topic.Direction(perm), Description: description})
	}
	return topics, rows.Err()
}

// CreateProduct makes a product with a generated SN and secret.
func (r *Registry) CreateProduct(ctx context.Context, n NewProduct) (p *Product, err error) {
	defer r.judged(&err)
	if n.Kind == "" {
		n.Kind = KindDevice
	}
	if n.Project == "" {
		n.Project = DefaultProject
	}
	if n.Topics == nil {
		n.Topics = topic.DefaultTemplates()
	}
	if err := n.validate(); err != nil {
		return nil, err
	}
	template, err := encodeTemplate(n.Template)
	if err != nil {
		return nil, err
	}
	settings, err := n.Settings.encode()
	if err != nil {
		return nil, err
	}
	now := millis(r.now())
	sn := ident.NewProductSN()
	err = r.db.Update(ctx, func(tx *store.Tx) error {
		if err := r.fits(ctx, tx, n.Project, KindOfProducts, 1); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO product (`+productColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			sn, r.db.Seal(store.ProductSecret, sn, []byte(credential.NewSecret().Reveal())), n.Name, n.Description, n.Kind.number(),
			flag(n.DynamicRegister), flag(n.PreRegister), flag(!n.NoShadow), template, 0, now, now, n.Project, 1, settings)
		if err != nil {
			return err
		}
		return insertTopics(ctx, tx, sn, n.Topics)
	})
	if err != nil {
		return nil, fmt.Errorf("registry: create product: %w", err)
	}
	r.Apply(Change{Kind: ProductCreated, Product: sn})
	return r.Product(ctx, sn)
}

func (n *NewProduct) validate() error {
	if err := checkText("name", n.Name, 1, MaxName); err != nil {
		return err
	}
	if err := checkText("description", n.Description, 0, MaxDescription); err != nil {
		return err
	}
	if !n.Kind.Valid() {
		return &ErrInvalid{"kind", `is none of "device", "gateway", "subdevice"`}
	}
	return checkTopics(n.Topics)
}

func checkText(field, s string, least, most int) error {
	n := utf8.RuneCountInString(s)
	switch {
	case n < least:
		return &ErrInvalid{field, "is empty"}
	case n > most:
		return &ErrInvalid{field, fmt.Sprintf("is longer than %d characters", most)}
	case !utf8.ValidString(s) || strings.ContainsRune(s, 0):
		return &ErrInvalid{field, "is not text"}
	}
	return nil
}

func checkTopics(topics []topic.Template) error {
	if len(topics) > MaxTopics {
		return &LimitError{"custom topics of a product", MaxTopics}
	}
	seen := make(map[string]bool, len(topics))
	for _, t := range topics {
		if err := topic.CheckTemplate(t); err != nil {
			return &ErrInvalid{"topics", err.Error()}
		}
		if err := checkText("topics", t.Description, 0, MaxDescription); err != nil {
			return err
		}
		if seen[t.Path] {
			return &ErrInvalid{"topics", fmt.Sprintf("%q is there twice", t.Path)}
		}
		seen[t.Path] = true
	}
	return nil
}

func insertTopics(ctx context.Context, tx *store.Tx, sn string, topics []topic.Template) error {
	for _, t := range topics {
		_, err := tx.Exec(ctx, `INSERT INTO product_topic (product, path, perm, description) VALUES (?, ?, ?, ?)`, sn, t.Path, int64(t.Perm), t.Description)
		if err != nil {
			return err
		}
	}
	return nil
}

// encodeTemplate validates t by compiling it and returns its stored form, "" for none.
func encodeTemplate(t *thing.Template) (string, error) {
	if t == nil {
		return "", nil
	}
	if _, err := thing.Compile(t); err != nil {
		return "", &ErrInvalid{"template", err.Error()}
	}
	b, err := json.Marshal(t)
	if err != nil {
		return "", &ErrInvalid{"template", err.Error()}
	}
	if len(b) > MaxTemplateSize {
		return "", &LimitError{"bytes of a thing model", MaxTemplateSize}
	}
	return string(b), nil
}

// UpdateProduct changes what u names.
func (r *Registry) UpdateProduct(ctx context.Context, sn string, u ProductUpdate) (p *Product, err error) {
	defer r.judged(&err)
	var set setList
	if u.Name != nil {
		if err := checkText("name", *u.Name, 1, MaxName); err != nil {
			return nil, err
		}
		set.add("name", *u.Name)
	}
	if u.Description != nil {
		if err := checkText("description", *u.Description, 0, MaxDescription); err != nil {
			return nil, err
		}
		set.add("description", *u.Description)
	}
	set.addFlag("dynamic_register", u.DynamicRegister)
	set.addFlag("pre_register", u.PreRegister)
	set.addFlag("shadow", u.Shadow)
	set.addFlag("published", u.Published)
	if u.Settings != nil {
		settings, err := u.Settings.encode()
		if err != nil {
			return nil, err
		}
		set.add("settings", settings)
	}
	return r.changeProduct(ctx, sn, ProductUpdated, func(tx *store.Tx) error {
		if err := checkRevision(ctx, tx, u.IfRevision, ErrProductNotFound, `product WHERE sn = ?`, sn); err != nil {
			return err
		}
		if u.Published != nil && *u.Published {
			if _, err := r.addVersion(ctx, tx, sn, Publication{By: u.By}); err != nil && !errors.Is(err, ErrPublished) {
				return err
			}
		}
		return set.exec(ctx, tx, `product`, `sn`, sn, ErrProductNotFound, r.now())
	})
}

// SetTemplate replaces the thing model of a product; nil takes it away. A
// published product is frozen.
func (r *Registry) SetTemplate(ctx context.Context, sn string, t *thing.Template, only ...IfRevision) (p *Product, err error) {
	defer r.judged(&err)
	text, err := encodeTemplate(t)
	if err != nil {
		return nil, err
	}
	return r.changeProduct(ctx, sn, TemplateChanged, func(tx *store.Tx) error {
		if err := checkProduct(ctx, tx, sn, only); err != nil {
			return err
		}
		_, published, err := lockTemplate(ctx, tx, sn)
		if err != nil {
			return err
		}
		if published {
			return ErrPublished
		}
		_, err = tx.Exec(ctx, `UPDATE product SET template = ?, updated_at = ?, revision = revision + 1 WHERE sn = ?`, text, millis(r.now()), sn)
		return err
	})
}

// SetTopics replaces the custom topics of a product. Sessions that are open
// keep their permissions until whoever watches ends or renews them.
func (r *Registry) SetTopics(ctx context.Context, sn string, topics []topic.Template, only ...IfRevision) (p *Product, err error) {
	defer r.judged(&err)
	if err := checkTopics(topics); err != nil {
		return nil, err
	}
	return r.changeProduct(ctx, sn, TopicsChanged, func(tx *store.Tx) error {
		if err := checkProduct(ctx, tx, sn, only); err != nil {
			return err
		}
		var set setList
		if err := set.exec(ctx, tx, `product`, `sn`, sn, ErrProductNotFound, r.now()); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM product_topic WHERE product = ?`, sn); err != nil {
			return err
		}
		return insertTopics(ctx, tx, sn, topics)
	})
}

func (r *Registry) changeProduct(ctx context.Context, sn string, kind ChangeKind, change func(*store.Tx) error) (*Product, error) {
	if err := r.db.Update(ctx, change); err != nil {
		return nil, fmt.Errorf("registry: product %s: %w", sn, err)
	}
	r.Apply(Change{Kind: kind, Product: sn})
	return r.Product(ctx, sn)
}

// DeleteProduct deletes a product that has no devices.
func (r *Registry) DeleteProduct(ctx context.Context, sn string, only ...IfRevision) error {
	err := r.db.Update(ctx, func(tx *store.Tx) error {
		if err := checkProduct(ctx, tx, sn, only); err != nil {
			return err
		}
		var n int64
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM device WHERE product = ?`, sn).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("%d of them: %w", n, ErrHasDevices)
		}
		for _, table := range []string{"product_topic", "device_count", "device_count_delta", "retained", "thing_model_version", "script", "agent_config"} {
			if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE product = ?`, sn); err != nil {
				return err
			}
		}
		return execOne(ctx, tx, ErrProductNotFound, `DELETE FROM product WHERE sn = ?`, sn)
	})
	if err != nil {
		return fmt.Errorf("registry: delete product %s: %w", sn, err)
	}
	r.Apply(Change{Kind: ProductDeleted, Product: sn})
	return nil
}

// Products lists the products that f takes, oldest first; next is "" on the last page. Of f only Project counts.
func (r *Registry) Products(ctx context.Context, f Filter, page Page) (list []*Product, next string, err error) {
	limit, after, err := page.open()
	if err != nil {
		return nil, "", err
	}
	where, args := `(created_at, sn) > (?, ?)`, []any{after.number, after.text}
	if f.Project != "" {
		where, args = `project = ? AND `+where, append([]any{f.Project}, args...)
	}
	rows, err := r.db.Query(ctx, `SELECT `+productColumns+` FROM product WHERE `+where+` ORDER BY created_at, sn LIMIT ?`, append(args, limit+1)...)
	if err != nil {
		return nil, "", fmt.Errorf("registry: list products: %w", err)
	}
	list, err = collect(rows, r.scanProduct)
	if err != nil {
		return nil, "", fmt.Errorf("registry: list products: %w", err)
	}
	if len(list) > limit {
		list = list[:limit]
		last := list[limit-1]
		next = cursor{millis(last.Created), last.SN}.String()
	}
	return list, next, r.addTopics(ctx, list)
}

// ReadProducts returns the products with these SNs, in no order; what is gone is left out.
func (r *Registry) ReadProducts(ctx context.Context, sns []string) (list []*Product, err error) {
	in, args := inList(sns)
	rows, err := r.db.Query(ctx, `SELECT `+productColumns+` FROM product WHERE sn IN (`+in+`)`, args...)
	if err == nil {
		list, err = collect(rows, r.scanProduct)
	}
	if err != nil {
		return nil, fmt.Errorf("registry: read products: %w", err)
	}
	return list, r.addTopics(ctx, list)
}

func (r *Registry) addTopics(ctx context.Context, list []*Product) error {
	if len(list) == 0 {
		return nil
	}
	sns := make([]string, len(list))
	for i, p := range list {
		sns[i] = p.SN
	}
	in, args := inList(sns)
	rows, err := r.db.Query(ctx, `SELECT product, path, perm, description FROM product_topic WHERE product IN (`+in+`) ORDER BY product, path`, args...)
	if err != nil {
		return fmt.Errorf("registry: list topics: %w", err)
	}
	topics, err := scanTopics(rows)
	if err != nil {
		return fmt.Errorf("registry: list topics: %w", err)
	}
	for _, p := range list {
		p.Topics = topics[p.SN]
	}
	return nil
}
