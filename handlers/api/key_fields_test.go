package api_test

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/claviger/claviger/internal/testkit"
)

// What a PATCH leaves out stays as it is: a field that the JSON forgets would be cleared.
func TestAPatchOfOneFieldKeepsAllOthers(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		result := app.Setup("shop")
		for _, in := range testkit.FullKeyInputs(t, app.Clock) {
			key, _ := app.Key(result.Project, in)
			path := fmt.Sprintf("/v1/projects/shop/keys/%d", key.ID)
			reply := app.Call("PATCH", path, `{"description":"Another"}`, "Authorization",
				"Bearer "+result.ServiceToken.Plain())
			if reply.Status != 200 {
				t.Fatal(reply.Status, reply.Body)
			}
			want := in
			want.Description = "Another"
			if got := testkit.KeyInput(t, app.Store, key); !reflect.DeepEqual(got, want) {
				t.Errorf("was  %+v\nwant %+v\ngot  %+v", in, want, got)
			}
		}
	})
}
