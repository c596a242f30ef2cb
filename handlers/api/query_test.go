package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/claviger/claviger/internal/testkit"
	"github.com/claviger/claviger/models"
)

func TestListsOfTheAPIAreFilteredAndPaged(t *testing.T) {
	testkit.EachApp(t, func(t *testing.T, app *testkit.App) {
		user, _ := app.SignUp("ada@example.com")
		project, _, _ := app.Project(user, "shop")
		api := app.Client(project)
		for i := range 5 {
			in := models.KeyInput{Name: fmt.Sprintf("key_%d", i), Type: models.TypeTest, Category: "partner"}
			_, secret := app.Key(project, in)
			app.Clock.Advance(time.Minute)
			app.Validate("shop", secret)
		}
		app.Flush()
		for list, names := range map[string]struct{ name, want string }{
			"/keys?type=test&category=partner&status=active&q=key&limit=2": {"name", "key_4 key_3 key_2 key_1 key_0"},
			"/logs?category=partner&limit=2": {"key_name",
				"key_4 key_3 key_2 key_1 key_0"},
		} {
			var seen []string
			cursor, pages := "", 0
			for ; pages < 10; pages++ {
				reply := api.Ask("GET", list+cursor, "")
				for _, row := range reply.Rows() {
					seen = append(seen, fmt.Sprint(row[names.name]))
				}
				if reply.Body["next_cursor"] == nil {
					break
				}
				cursor = fmt.Sprintf("&cursor=%v", reply.Body["next_cursor"])
			}
			if strings.Join(seen, " ") != names.want || pages != 2 {
				t.Errorf("%s: %v in %d pages", list, seen, pages+1)
			}
		}
		for list, n := range map[string]int{"/keys": 6, "/keys?status=revoked": 0, "/keys?type=production": 1,
			"/keys?q=key_3": 1, "/logs?key=key_3": 1, "/logs?code=key_expired": 0} {
			if got := len(api.Ask("GET", list, "").Rows()); got != n {
				t.Errorf("%s lists %d, want %d", list, got, n)
			}
		}
		counts := map[string]any{}
		for _, row := range api.Ask("GET", "/categories", "").Rows() {
			counts[fmt.Sprint(row["name"])] = row["keys"]
		}
		if fmt.Sprint(counts) != "map[development:0 partner:5 production:1 staging:0]" {
			t.Errorf("%v", counts)
		}
	})
}
