package sign_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/sentinelgo/sentinel/internal/sentinelpb"
)

// Nobody on the way adds a plugin, takes one away or makes it another.
func TestP25PluginSetsAreSigned(t *testing.T) {
	k := fixedKey(t)
	set := &sentinelpb.PluginSet{Plugins: []*sentinelpb.PluginRef{{Name: "a", Version: "1.0.0", Digest: "d", Size: 5, Attempt: 7}, {Name: "b", Version: "1.0.0", Digest: "e", Size: 6}}}
	k.PluginSet("ag-one", set)
	if !k.VerifyPluginSet("ag-one", set) || k.VerifyPluginSet("ag-two", set) {
		t.Error("a set is not for its agent alone")
	}
	for name, change := range map[string]func(*sentinelpb.PluginSet){
		"none":    func(s *sentinelpb.PluginSet) { s.Plugins = nil },
		"fewer":   func(s *sentinelpb.PluginSet) { s.Plugins = s.Plugins[:1] },
		"order":   func(s *sentinelpb.PluginSet) { s.Plugins[0], s.Plugins[1] = s.Plugins[1], s.Plugins[0] },
		"name":    func(s *sentinelpb.PluginSet) { s.Plugins[0].Name = "c" },
		"version": func(s *sentinelpb.PluginSet) { s.Plugins[0].Version = "2.0.0" },
		"digest":  func(s *sentinelpb.PluginSet) { s.Plugins[0].Digest = "f" },
		"size":    func(s *sentinelpb.PluginSet) { s.Plugins[0].Size++ },
		"attempt": func(s *sentinelpb.PluginSet) { s.Plugins[0].Attempt++ },
		"shift":   func(s *sentinelpb.PluginSet) { s.Plugins[0].Name, s.Plugins[0].Version = "a1", ".0.0" },
		"mac":     func(s *sentinelpb.PluginSet) { s.Mac = nil },
	} {
		other := proto.Clone(set).(*sentinelpb.PluginSet)
		change(other)
		if k.VerifyPluginSet("ag-one", other) {
			t.Errorf("%s: an altered set is not noticed", name)
		}
	}
}
