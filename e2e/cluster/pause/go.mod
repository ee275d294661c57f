module ferromesh.test/pause

go 1.26.0
