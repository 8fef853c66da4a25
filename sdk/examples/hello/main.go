// Command hello is the smallest plugin: it says one number.
package main

import "github.com/sentinelgo/sentinel/sdk/go/sentinel"

var _ = sentinel.Collect(collect)

func main() {}

var collections float64

func collect(c *sentinel.Collection) error {
	collections++
	c.Counter("hello_collections_total", collections, sentinel.L("greeting", sentinel.Config("greeting")))
	return nil
}
