package scenario

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// mongoTarget is a collection.
type mongoTarget struct{ peer }

func (m *mongoTarget) Start(t *testing.T) string {
	t.Helper()
	m.start(t, "mongodb")
	return m.addr
}

func (m *mongoTarget) Action(t *testing.T, hub *harness.Hub, addr string) map[string]any {
	t.Helper()
	return map[string]any{"kind": "mongodb", "database": "plant", "collection": "readings", "connector": makeConnector(t, hub, "mongodb",
		map[string]any{"uri": "mongodb://" + addr + "/?directConnection=true", "user": "hub", "password": "geheim", "timeoutSeconds": 2})}
}

func (m *mongoTarget) Rows(t *testing.T) map[string][]int {
	t.Helper()
	cl, err := mongo.Connect(options.Client().ApplyURI("mongodb://" + m.addr + "/?directConnection=true").SetAuth(options.Credential{Username: "hub", Password: "geheim"}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cl.Disconnect(t.Context()) }() // all has been read
	cur, err := cl.Database("plant").Collection("readings").Find(t.Context(), bson.D{}, options.Find().SetBatchSize(10000))
	if err != nil {
		t.Fatal(err)
	}
	var list []row
	if err := cur.All(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	rows := map[string][]int{}
	for _, r := range list {
		rows[r.Device] = append(rows[r.Device], r.N)
	}
	return rows
}
