package alerting

import (
	"testing"

	"github.com/sentinelgo/sentinel/internal/sentinel"
)

func TestSelectorsMatchAsInPrometheus(t *testing.T) {
	series := sentinel.NewSeries("node_x", sentinel.Gauge, "", "device", "sda1", "text", "two\nlines")
	for text, want := range map[string]bool{
		"": true, "node_x": true, "node": false, "{}": true, "node_x{}": true,
		`{device="sda1"}`: true, `{device="sda"}`: false, `{device!="sda1"}`: false, `{device!="sdb"}`: true,
		`{device=~"sda"}`: false, `{device=~"da1"}`: false, `{device=~"sd.*"}`: true, `{device=~"a|sda1"}`: true, `{device!~"sd.*"}`: false, `{device!~"sda"}`: true,
		`{none=""}`: true, `{none!=""}`: false, `{none=~".*"}`: true, `{none=~".+"}`: false, `{none!="x"}`: true,
		`{__name__=~"node_.*"}`: true, `{__name__="node"}`: false, `node_x{device="sda1",none="x",}`: false, ` node_x { device = "sda1" , } `: true,
		`{text=~"two.lines"}`: true, `{text="two\nlines"}`: true,
	} {
		s, err := ParseSelector(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := s.MatchesSeries(series); got != want {
			t.Errorf("%s matches %s: %v", text, series, got)
		}
	}
	for text, want := range map[string]bool{
		`{site="fra"}`: true, `{site="ams"}`: false, `{hostname=~"web-.*"}`: true, `{hostname="web"}`: false, `{agent="ag-1"}`: true, `{agent!="ag-1"}`: false, `{rack=""}`: true,
	} {
		s, err := ParseSelector(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := s.MatchesAgent(testAgent()); got != want {
			t.Errorf("%s matches the agent: %v", text, got)
		}
	}
}

func TestConditions(t *testing.T) {
	for text, holds := range map[string][3]bool{ // at 4, 5 and -6
		"above 5": {false, false, false}, "> 4": {false, true, false}, "at least 5": {false, true, false}, ">=5": {false, true, false},
		"below 5": {true, false, true}, "at most 5": {true, true, true}, "<= 4": {true, false, true}, "<5": {true, false, true},
		"equal to 5": {false, true, false}, "==5": {false, true, false}, "not 5": {true, false, true}, "!= 5": {true, false, true},
		"outside 4.5": {false, true, true}, "inside 5": {true, false, false}, " above  -7 ": {true, true, true},
	} {
		var c Condition
		if err := c.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := [3]bool{c.Holds(4), c.Holds(5), c.Holds(-6)}; got != holds {
			t.Errorf("%s: holds at 4, 5, -6: %v", text, got)
		}
	}
	for _, text := range []string{"5", "above", "above five", "above Inf", "above NaN", "over 5", "above 5 6", "=> 5"} {
		if err := new(Condition).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: want an error", text)
		}
	}
}
