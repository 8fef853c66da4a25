// Command webhook prints what is posted to it, for trying out receivers:
//
//	go run ./scripts/webhook 127.0.0.1:9099
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: webhook ADDRESS, such as 127.0.0.1:9099")
		os.Exit(2)
	}
	srv := http.Server{Addr: os.Args[1], ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		fmt.Printf("%s %s %s\n%s\n", time.Now().Format(time.TimeOnly), r.Method, r.URL, body)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	})}
	fmt.Fprintln(os.Stderr, srv.ListenAndServe())
	os.Exit(1)
}
