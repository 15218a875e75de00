module github.com/hawser-iot/hawser

go 1.26.8
