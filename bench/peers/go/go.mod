module aggregator

go 1.22
