package config

import (
	"fmt"

	"gopkg.in/yaml.v3"
)

// YAML writes JSON as YAML, in the same order.
func YAML(raw []byte) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil { // JSON is YAML
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	block(&doc)
	return yaml.Marshal(&doc)
}

// block lays out a node and all below it as people write YAML; what would be read as
// something else without quotes keeps them.
func block(n *yaml.Node) {
	n.Style = 0
	for _, c := range n.Content {
		block(c)
	}
}
