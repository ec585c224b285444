"""Alert rules and a dashboard, rendered from the limits in force; Prometheus and Grafana run them."""
