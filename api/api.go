// Package api holds the description of the partner API.
package api

import _ "embed"

// OpenAPI is the description of the partner listener (OpenAPI 3.1).
//
//go:embed openapi.yaml
var OpenAPI []byte
