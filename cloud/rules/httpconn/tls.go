package httpconn

import "github.com/hawser-iot/hawser/cloud/rules/clienttls"

// TLS is how a server is known and how the hub proves itself to it. The URL says whether it is used.
type TLS = clienttls.Certificates
