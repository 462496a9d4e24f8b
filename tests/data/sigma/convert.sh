#!/bin/sh
# Converts every rule in `rules/` to a query, by pySigma's Lucene backend, into `queries/`.
# Needs: pip install sigma-cli==3.1.0 pySigma==1.5.1 pySigma-backend-elasticsearch==2.1.1
set -eu
cd "$(dirname "$0")"
mkdir -p queries
for rule in rules/*.yml; do
    sigma convert --target lucene --without-pipeline "$rule" 2>/dev/null > "queries/$(basename "$rule" .yml).txt"
done
