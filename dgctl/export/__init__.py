"""What watches a deployment, as files to take along: scrape jobs, rules, dashboards."""
