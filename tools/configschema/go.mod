module github.com/talos-manager/talos-manager/tools/configschema

go 1.26.5
